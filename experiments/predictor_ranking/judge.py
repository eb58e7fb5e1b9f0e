"""Predictors judged alike: random training sets, rank correlation on every candidate that was not in them."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from experiments.predictor_ranking.tables import Table
from nas.runs.files import write_json
from nas.runs.machine import cpu_model
from nas.runs.seeding import numpy_generator
from predictors.blend import Blend
from predictors.fbnetv3 import FBNetV3
from predictors.metrics import kendall_tau, over_seeds, spearman, top_k_regret


@dataclass(frozen=True)
class Contestant:
    """A predictor's card and the names of the free statistics it is given."""

    card: Any
    statistics: tuple[str, ...] = ()


def judge(
    table: Table,
    contestants: dict[str, Contestant],
    sizes: Sequence[int],
    seeds: int,
    path: Path,
    only: Sequence[str] | None = None,
    k: int = 10,
) -> None:
    """Kendall's tau, Spearman's rho, top-k regret and seconds per fit, for each contestant, training size and seed,
    into `path`; contestants already there are not run again, and none but `only` where that is given.

    Every contestant sees the same training sets. Encoders are pre-trained once per contestant, without targets, from
    seed 0; everything else of a run follows its seed.
    """
    file: dict[str, Any] = {
        "environment": environment(),
        "table": table.name,
        "candidates": len(table.targets),
        "seeds": seeds,
        "ceiling_tau": table.ceiling,
        "alone_tau": {name: kendall_tau(values, table.targets) for name, values in table.statistics.items()},
        "contestants": {},
    }
    if path.exists():
        file = json.loads(path.read_text())
        if file["seeds"] != seeds or file["table"] != table.name:
            raise ValueError(f"{path} holds {file['seeds']} seeds of {file['table']}; remove it to run others")
    records = file["contestants"]
    unknown = sorted(set(only or ()) - set(contestants))
    if unknown:
        raise ValueError(f"there is no contestant {unknown[0]!r}; one of {', '.join(contestants)}")
    for name, contestant in contestants.items():
        if name in records or (only and name not in only):
            continue
        given = table.look_up(contestant.statistics)
        common = {"variables": table.variables, "statistics": given, "pool": table.pool}
        started = time.perf_counter()
        mlp = contestant.card if isinstance(contestant.card, FBNetV3) else getattr(contestant.card, "fbnetv3", None)
        reused = {"pretrained": mlp.pretrain(**common, seed=0)} if mlp is not None else {}
        records[name] = {"pretraining_seconds": time.perf_counter() - started if reused else 0.0, "sizes": {}}
        if reused and reused["pretrained"].r2:
            records[name]["pretraining_r2"] = dict(zip(contestant.statistics, reused["pretrained"].r2, strict=True))
        for size in sizes:
            runs: dict[str, list[float]] = {"tau": [], "spearman": [], "regret": [], "fit_seconds": []}
            weights = []
            for seed in range(seeds):
                order = numpy_generator(seed, "training set").permutation(len(table.targets))
                train, rest = order[:size], order[size:]
                predictor = contestant.card.build(
                    **common, recipe_variables=table.recipe_variables, seed=seed, **reused
                )
                started = time.perf_counter()
                predictor.fit(table.population[train], table.targets[train])
                runs["fit_seconds"].append(time.perf_counter() - started)
                mean, _ = predictor.predict(table.population[rest])
                runs["tau"].append(kendall_tau(mean, table.targets[rest]))
                runs["spearman"].append(spearman(mean, table.targets[rest]))
                runs["regret"].append(top_k_regret(mean, table.targets[rest], k))
                if isinstance(contestant.card, Blend):
                    weights.append(predictor.weights.tolist())
            records[name]["sizes"][str(size)] = runs | ({"weights": weights} if weights else {})
            shown = over_seeds(np.array(runs["tau"]))
            print(f"{table.name}, {size}: {name}: tau {shown}, {np.mean(runs['fit_seconds']):.2f} s", flush=True)
        write_json(path, file)


def environment() -> dict[str, Any]:
    """The processor and the versions of what computes."""
    packages = ("torch", "numpy", "scipy", "scikit-learn")
    return {"cpu": cpu_model(), "cores": os.cpu_count(), "python": platform.python_version()} | {
        package: version(package) for package in packages
    }
