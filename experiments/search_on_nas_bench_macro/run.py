"""Regret of search methods on NAS-Bench-Macro: every one of its 6,561 networks was trained, so nothing is trained here.

python experiments/search_on_nas_bench_macro/run.py [--seeds 20] [--only METHOD] [--data FILE] [--out results.json]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.files import write_json
from nas.methods.evolution import Evolution
from nas.methods.predictor import PredictorProposal, PredictorSearch
from nas.methods.proposal import Proposal
from nas.methods.random import RandomSearch
from nas.methods.regularized_evolution import RegularizedEvolution
from nas.methods.tpe import TPE
from predictors.baselines import GaussianProcess, RandomForest
from predictors.process import StructuredProcess
from search_spaces.additive import AdditiveCost, Floats
from search_spaces.arch import Arch
from search_spaces.budgets import Feasible, Limit
from search_spaces.space import Genotype, Population, SearchSpace, Term, Variable

DATA = Path(__file__).parents[1] / "data" / "nas_bench_macro_cifar10.json"
QUERIES = (50, 100, 200)
FIRST_SEED = 100  # settings were chosen on seeds 0 to 9
BATCH = 2
GROWING = 0  # a batch of a tenth of what was told, at least 5: for predictors that take seconds to fit
MACS_SHARE = 0.5  # of the reachable range, for the searches with a budget


class MacroSpace(SearchSpace):
    """Eight layers of three blocks each, as the table names them; its networks are looked up, not built."""

    name = "nas_bench_macro"

    @property
    def variables(self) -> tuple[Variable, ...]:
        return tuple(Variable(f"layer{i}", ("identity", "k3_e3", "k5_e6")) for i in range(8))

    @property
    def terms(self) -> tuple[Term, ...]:
        return ()

    def decode(self, genotype: Sequence[int]) -> Arch:
        raise ValueError("networks of NAS-Bench-Macro are looked up in its table, not built")

    def encode(self, arch: Arch) -> Genotype:
        raise ValueError("networks of NAS-Bench-Macro are looked up in its table, not built")


class Table:
    """The benchmark: mean test accuracy (percent, three seeds), MACs and parameters of every genotype."""

    def __init__(self, path: Path) -> None:
        data: dict[str, Any] = json.loads(path.read_text())
        names = sorted(data)
        self.population = np.array([[int(c) for c in name] for name in names])
        self.accuracy = np.array([data[name]["mean_acc"] for name in names])
        self.macs, self.params = (np.array([float(data[n][key]) for n in names]) for key in ("flops", "params"))

    def index(self, population: Population) -> np.ndarray:
        return population @ 3 ** np.arange(7, -1, -1)

    def statistics(self, population: Population) -> Floats:
        rows = self.index(population)
        return np.log(np.stack([self.macs[rows], self.params[rows]], axis=1))

    def macs_cost(self) -> AdditiveCost:
        """The MACs as a sum over layers, checked to be exactly that."""
        rows = []
        base = self.macs[0]
        for layer in range(8):
            single = np.zeros((3, 8), dtype=np.int64)
            single[:, layer] = np.arange(3)
            rows.append(self.macs[self.index(single)] - base)
        cost = AdditiveCost.of_rows(float(base), rows)
        if not np.array_equal(cost(self.population), self.macs):
            raise ValueError("the MACs of this table are not sums over layers")
        return cost


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


def start(method: Any, feasible: Feasible, table: Table, seed: int) -> Proposal:
    if isinstance(method, PredictorSearch):
        return PredictorProposal(feasible, seed, method, table.statistics)
    found = method.start(feasible, seed)
    assert isinstance(found, Proposal)
    return found


def regrets(table: Table, name: str, limits: Sequence[Limit], seed: int) -> list[float]:
    """Best accuracy within the budget minus the best one found, in points, after each of `QUERIES`."""
    method, batch = METHODS[name]
    feasible = Feasible(MacroSpace(), limits)
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
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", choices=METHODS, help="one method; the others' figures in --out stay")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    asked = parser.parse_args()
    table = Table(asked.data)
    cost = table.macs_cost()
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
