"""The tables that are searched: networks, and networks with their recipes, with and without a budget."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from experiments.joint_ranking.run import DATASETS, OTHERS, load
from experiments.predictor_ranking.tables import NB201_OPERATIONS, macro
from nas.search.scores.table import ScoredTable, scored_table
from search_spaces.pricing.genotype_cost import Floats
from search_spaces.wrappers.listed import ListedSpace

NB201_CODES = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NB201_EDGES = ("edge01", "edge02", "edge12", "edge03", "edge13", "edge23")
NB201_DATA = {"cifar10": "c10", "cifar100": "c100", "imagenet16": "in16"}


@dataclass(frozen=True)
class Problem:
    """`table` within `limits`; `reported` (n,): what is told of a point beside its score, such as its test accuracy."""

    table: ScoredTable
    limits: Mapping[str, float] = field(default_factory=dict)
    reported: Floats | None = None


def problems(data: Path) -> dict[str, Callable[[], Problem]]:
    """By name; `data`: the folder of `nb201_accuracy.csv` and `fcnet_joint_hpolib.npz`."""
    found: dict[str, Callable[[], Problem]] = {
        "macro": _macro,
        "macro, half of the multiply-adds": partial(_macro, 0.5),
        **{f"nb201 {name}": partial(_nb201, data, short) for name, short in NB201_DATA.items()},
        "nb201 cifar10, half of the parameters": partial(_nb201, data, "c10", 0.5),
    }
    for name in (*DATASETS, *OTHERS):
        found[f"fcnet {name}"] = partial(_fcnet, data, name)
    return found


def _macro(share: float | None = None) -> Problem:
    """NAS-Bench-Macro: mean test accuracy of three seeds, percent."""
    known = macro()
    space = ListedSpace("macro", known.variables, known.population)
    macs = known.statistics["macs"]
    return Problem(ScoredTable(space, known.targets, {"macs": macs}), _at(share, macs, "macs"))


def _nb201(data: Path, short: str, share: float | None = None) -> Problem:
    """NAS-Bench-201: mean validation accuracy of its seeds, percent; the test accuracy after 200 epochs is reported."""
    with (data / "nb201_accuracy.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert set(NB201_CODES) == set(NB201_OPERATIONS)
    points = [
        {edge: NB201_CODES[int(code)] for edge, code in zip(NB201_EDGES, row["ops"], strict=True)} for row in rows
    ]
    seeds = [[float(row[f"{short}_val_s{i}"]) for i in range(3) if row[f"{short}_val_s{i}"]] for row in rows]
    params = np.array([float(row["params_M"]) for row in rows])
    costs = {"params_m": params, "test": np.array([float(row[f"{short}_test"]) for row in rows])}
    table = scored_table("nb201", points, [float(np.mean(values)) for values in seeds], costs)
    limits = _at(share, table.costs["params_m"], "params_m")
    return Problem(table, limits, table.costs["test"])


def _fcnet(data: Path, name: str) -> Problem:
    """Fully connected networks with their recipes: -log of the validation MSE, mean of four seeds."""
    known = load(data / "fcnet_joint_hpolib.npz", name)
    variables = (*known.variables, *known.recipe_variables)
    space = ListedSpace(name, variables, known.population, len(known.recipe_variables))
    return Problem(ScoredTable(space, known.targets, known.statistics))


def _at(share: float | None, costs: Floats, name: str) -> dict[str, float]:
    """A limit at this share of the range of `costs`."""
    return {} if share is None else {name: float(costs.min() + share * (costs.max() - costs.min()))}


def table_options(parser: argparse.ArgumentParser, here: Path, seeds: int) -> argparse.Namespace:
    """The options of an experiment on these tables whose results lie in the folder `here`; `data` is there unless what
    is there is reported."""
    parser.add_argument("--data", type=Path, help="folder of nb201_accuracy.csv and fcnet_joint_hpolib.npz")
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--out", type=Path, default=here / "results.jsonl")
    parser.add_argument("--report", action="store_true", help="print the tables of what is there")
    options = parser.parse_args()
    if options.data is None and not options.report:
        parser.error("--data is the folder of the tables (see README.md)")
    return options
