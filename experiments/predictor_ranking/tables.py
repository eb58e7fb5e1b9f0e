"""Tables of trained networks, as what a predictor is given: variables, genotypes, targets, free statistics."""

from __future__ import annotations

import ast
import csv
import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from predictors.base import Floats, Statistics
from predictors.metrics import kendall_tau
from search_spaces.space import Population, Variable

MACRO = Path(__file__).parents[1] / "data" / "nas_bench_macro_cifar10.json"
NB201_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")


@dataclass(frozen=True)
class Table:
    """Candidates with their targets (higher is better).

    `statistics`: free statistics of architectures by name; `ceiling`: rank correlations between training seeds, by
    description. `all_architectures`: every genotype is one; otherwise predictors draw from the table's.
    """

    name: str
    variables: tuple[Variable, ...]
    recipe_variables: tuple[Variable, ...]
    population: Population
    targets: Floats
    statistics: dict[str, Floats]
    ceiling: dict[str, float]
    all_architectures: bool = True

    @property
    def pool(self) -> Population | None:
        """The architectures to draw unlabelled ones from; None where that is the whole space."""
        return None if self.all_architectures else self.population[:, : len(self.variables)]

    def look_up(self, names: tuple[str, ...]) -> Statistics | None:
        """The statistics called `names` as a function of architecture genes; None for no names."""
        if not names:
            return None
        sizes = [len(variable) for variable in self.variables]
        strides = np.cumprod([1, *sizes[:-1]])
        genes = self.population[:, : len(sizes)]
        row = np.full(int(np.prod(sizes)), -1)
        row[genes @ strides] = np.arange(len(genes))
        values = np.stack([self.statistics[name] for name in names], axis=1)

        def statistics(architectures: Population) -> Floats:
            rows = row[architectures @ strides]
            if (rows < 0).any():
                raise ValueError(f"{self.name} has no architecture {architectures[rows < 0][0].tolist()}")
            return values[rows]

        return statistics


def seed_ceiling(per_seed: Floats) -> dict[str, float]:
    """How well training seeds agree on the ranking: (candidates, seeds) accuracies."""
    seeds = range(per_seed.shape[1])
    between = [kendall_tau(per_seed[:, a], per_seed[:, b]) for a, b in combinations(seeds, 2)]
    others = [kendall_tau(per_seed[:, a], np.delete(per_seed, a, axis=1).mean(axis=1)) for a in seeds]
    return {"two seeds": float(np.mean(between)), "one seed and the mean of the others": float(np.mean(others))}


def macro(path: Path = MACRO) -> Table:
    """NAS-Bench-Macro: 3^8 networks, target the mean test accuracy (percent) of three seeds."""
    records = json.loads(path.read_text())
    keys = sorted(records)
    rows = [records[key] for key in keys]
    return Table(
        "NAS-Bench-Macro",
        tuple(Variable(f"layer{i}", ("identity", "k3_e3", "k5_e6")) for i in range(8)),
        (),
        np.array([[int(digit) for digit in key] for key in keys]),
        np.array([row["mean_acc"] for row in rows]),
        {name: np.array([row[key] for row in rows], float) for name, key in (("macs", "flops"), ("params", "params"))},
        seed_ceiling(np.array([row["test_acc"] for row in rows])),
    )


def nb201(proxies: Path, accuracies: Path) -> Table:
    """NAS-Bench-201 without the networks cut by `none`: target the CIFAR-10 validation accuracy (percent)."""
    with accuracies.open() as file:
        accuracy = {row["net"]: float(row["val_accs"]) for row in csv.DictReader(file)}
    with proxies.open() as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in ("net", "net_str")]
    statistics = {("macs" if name == "flops" else name): np.array([float(r[name]) for r in rows]) for name in names}
    return Table(
        "NAS-Bench-201",
        tuple(Variable(f"edge{edge}", NB201_OPERATIONS) for edge in ("12", "13", "14", "23", "24", "34")),
        (),
        np.array([ast.literal_eval(row["net"]) for row in rows]),
        np.array([accuracy[row["net"]] for row in rows]),
        statistics,
        {},
        all_architectures=False,
    )
