"""Joint search against searches of architectures alone and of recipes alone, equal trainings (see README.md)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import records
from experiments.compare.report import interval
from experiments.joint_ranking.run import load
from experiments.predictor_ranking.tables import Table
from nas.methods.predictor import PredictorProposal
from nas.methods.random import RandomSearch
from nas.runs.seeding import numpy_generator
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import compose
from search_spaces.arch import Arch
from search_spaces.pricing.budgets import Feasible
from search_spaces.space import Genotype, SearchSpace, Term, Variable

HERE = Path(__file__).parent
TRAININGS, BATCH = (25, 50), 5
MODES = ("joint", "architecture", "recipe", "random")


class LookedUp(SearchSpace):
    """The free variables of a table; the others keep the genes of `fixed`. Its points are looked up, not built."""

    name = "fcnet"

    def __init__(self, variables: Sequence[Variable], free: Sequence[int], fixed: np.ndarray) -> None:
        self.free, self.fixed = list(free), fixed
        self._variables = tuple(variables[v] for v in free)

    @property
    def variables(self) -> tuple[Variable, ...]:
        return self._variables

    @property
    def terms(self) -> tuple[Term, ...]:
        return ()

    def whole(self, population: np.ndarray) -> np.ndarray:
        """(n, free genes) with the fixed ones filled in: (n, all genes)."""
        found = np.repeat(self.fixed[None], len(population), axis=0)
        found[:, self.free] = population
        return found

    def decode(self, genotype: Sequence[int]) -> Arch:
        raise ValueError("points of this table are looked up, not built")

    def encode(self, arch: Arch) -> Genotype:
        raise ValueError("points of this table are looked up, not built")


def search(table: Table, mode: str, seed: int) -> list[float]:
    """Regret (in the targets' unit) to the best of the whole table after each of `TRAININGS` looks."""
    variables = (*table.variables, *table.recipe_variables)
    sizes = np.array([len(v) for v in variables])
    place = np.full(int(sizes.prod()), -1)
    place[np.ravel_multi_index(table.population.T, sizes)] = np.arange(len(table.population))
    genes = {"architecture": range(len(table.variables)), "recipe": range(len(table.variables), len(variables))}
    fixed = numpy_generator(seed, "fixed").integers(0, sizes)  # a random recipe, or a random architecture
    space = LookedUp(variables, genes.get(mode, range(len(variables))), fixed)
    feasible = Feasible(space)
    if mode == "random":
        proposal: Any = RandomSearch().start(feasible, seed)
    else:
        card = cards.build(compose("search", ["method=predictor", "predictor=process"])["method"], "method", {})
        proposal = PredictorProposal(feasible, seed, card, None)
    while len(proposal.told) < max(TRAININGS):
        population = proposal.ask(min(BATCH, max(TRAININGS) - len(proposal.told)))
        rows = place[np.ravel_multi_index(space.whole(population).T, sizes)]
        proposal.tell(population, table.targets[rows])
    return [float(table.targets.max() - proposal.scores[:n].max()) for n in TRAININGS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="fcnet_joint_hpolib.npz")
    parser.add_argument("--datasets", nargs="*", default=["protein", "slice"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=HERE / "results.jsonl")
    options = parser.parse_args()
    finished = records.finished(options.out)
    done = {(r["dataset"], r["mode"], r["seed"]) for r in finished}
    for dataset in options.datasets:
        table = load(options.data, dataset)
        for seed in range(options.seeds):
            for mode in MODES:
                if (dataset, mode, seed) not in done:
                    found = search(table, mode, seed)
                    finished.append({"dataset": dataset, "mode": mode, "seed": seed, "regret": found})
                    records.write(options.out, finished)
    names = " | ".join(f"after {n}" for n in TRAININGS)
    print(f"| data, search | seeds | {names} |\n| --- | --- |" + " --- |" * len(TRAININGS))
    for dataset in options.datasets:
        for mode in MODES:
            regrets = np.array([r["regret"] for r in finished if (r["dataset"], r["mode"]) == (dataset, mode)])
            cells = [interval(column.tolist()) for column in regrets.T]
            shown = " | ".join(f"{mean:.3f} ({low:.3f} to {high:.3f})" for mean, low, high in cells)
            print(f"| {dataset}, {mode} | {len(regrets)} | {shown} |")


if __name__ == "__main__":
    main()
