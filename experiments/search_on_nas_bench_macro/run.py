"""Regret of search methods on NAS-Bench-Macro: every one of its 6,561 networks was trained, so nothing is trained here.

python -m experiments.search_on_nas_bench_macro.run [--seeds 20] [--only METHOD] [--data FILE] [--out results.json]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import nas_bench_macro
from nas.methods.evolution import Evolution
from nas.methods.predictor import PredictorProposal, PredictorSearch
from nas.methods.proposal import Proposal
from nas.methods.random import RandomSearch
from nas.methods.regularized_evolution import RegularizedEvolution
from nas.methods.tpe import TPE
from nas.runs.files import write_json
from predictors.base import Statistics
from predictors.baselines import GaussianProcess, RandomForest
from predictors.process import StructuredProcess
from search_spaces.pricing.additive import Floats
from search_spaces.pricing.budgets import Feasible, Limit
from search_spaces.space import Population

QUERIES = (50, 100, 200)
FIRST_SEED = 100  # settings were chosen on seeds 0 to 9
BATCH = 2
GROWING = 0  # a batch of a tenth of what was told, at least 5: for predictors that take seconds to fit
MACS_SHARE = 0.5  # of the reachable range, for the searches with a budget


def statistics(table: nas_bench_macro.Table) -> Statistics:
    """Logarithms of multiply-adds and parameters: (n, 2)."""

    def of(population: Population) -> Floats:
        rows = table.index(population)
        return np.log(np.stack([table.macs[rows], table.params[rows]], axis=1))

    return of


def predictor_search(predictor: Any, initial: int) -> PredictorSearch:
    return PredictorSearch(
        predictor=predictor,
        initial=initial,
        pool_size=2048,
        exploration=1.0,
        diversity=1.0,
        acquisition_evaluations=1,  # this space is scored whole
        evolution=Evolution(),
    )


METHODS: dict[str, tuple[Any, int]] = {  # method, candidates per batch
    "random": (RandomSearch(), BATCH),
    "regularized_evolution": (RegularizedEvolution(population_size=20, sample_size=5), BATCH),
    "tpe": (TPE(startup_candidates=10), BATCH),
    "predictor (random forest)": (predictor_search(RandomForest(trees=60), 10), 5),
    "predictor (gaussian process)": (predictor_search(GaussianProcess(restarts=0), 10), BATCH),
    "predictor (structured process)": (predictor_search(StructuredProcess(), 10), GROWING),
}


def start(method: Any, feasible: Feasible, table: nas_bench_macro.Table, seed: int) -> Proposal:
    if isinstance(method, PredictorSearch):
        return PredictorProposal(feasible, seed, method, statistics(table))
    found = method.start(feasible, seed)
    assert isinstance(found, Proposal)
    return found


def regrets(table: nas_bench_macro.Table, name: str, limits: Sequence[Limit], seed: int) -> list[float]:
    """Best accuracy within the budget minus the best one found, in points, after each of `QUERIES`."""
    method, batch = METHODS[name]
    feasible = Feasible(nas_bench_macro.space(), limits)
    proposal = start(method, feasible, table, seed)
    while len(proposal.told) < max(QUERIES):
        told = len(proposal.told)
        following = next(queries for queries in QUERIES if queries > told)  # no batch reaches over a count reported
        rows = proposal.ask(min(batch or max(5, told // 10), following - told))
        proposal.tell(rows, table.accuracy[table.index(rows)])
    best = table.accuracy[feasible.mask(table.population)].max()
    return [float(best - proposal.scores[:queries].max()) for queries in QUERIES]


def summary(values: np.ndarray) -> dict[str, Any]:
    """Mean, 95% bootstrap interval of the mean and standard deviation over seeds, per number of queries."""
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(len(values), size=(10_000, len(values)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return {
        str(queries): {"mean": mean, "interval95": [a, b], "std": std}
        for queries, mean, a, b, std in zip(
            QUERIES, values.mean(axis=0).tolist(), low.tolist(), high.tolist(), values.std(axis=0).tolist(), strict=True
        )
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--data", type=Path, default=nas_bench_macro.DATA)
    parser.add_argument("--only", choices=METHODS, help="one method; the others' figures in --out stay")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    asked = parser.parse_args()
    table = nas_bench_macro.Table(asked.data)
    cost = nas_bench_macro.space().count("macs")
    low, high = cost.reachable()
    limits = {"none": [], "macs": [Limit("macs", cost, low + MACS_SHARE * (high - low))]}
    if asked.only and asked.out.exists():
        results: dict[str, Any] = json.loads(asked.out.read_text())
    else:
        results = {}
    results = {**results, "seeds": [FIRST_SEED, FIRST_SEED + asked.seeds - 1]}
    for budget, limit in limits.items():
        for name in [asked.only] if asked.only else METHODS:
            began = time.perf_counter()
            values = np.array([regrets(table, name, limit, FIRST_SEED + seed) for seed in range(asked.seeds)])
            found = {**summary(values), "seconds": time.perf_counter() - began, "each": values.tolist()}
            results.setdefault("regret_points", {}).setdefault(budget, {})[name] = found
            cells = "  ".join(
                f"{q}: {found[str(q)]['mean']:.4f} [{found[str(q)]['interval95'][0]:.4f}, "
                f"{found[str(q)]['interval95'][1]:.4f}]"
                for q in QUERIES
            )
            print(f"{budget:5} {name:30} {cells}  {found['seconds']:.0f} s", flush=True)
            write_json(asked.out, results)


if __name__ == "__main__":
    main()
