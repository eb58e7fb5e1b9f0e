"""What methods are compared on: a table of trained networks as an oracle, or real trainings on one machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from experiments import nas_bench_macro
from nas.data.card import data_of
from nas.methods.candidates.training_job import TrainingJob, train_candidate
from nas.train import training
from nas.train.accelerator import make_accelerator
from search_spaces.pricing.additive import Floats
from search_spaces.pricing.budgets import Feasible, Limit
from search_spaces.recipe import Recipe
from search_spaces.space import Genotype, Population, SearchSpace


class Comparison(Protocol):
    """A search problem: the networks within its budget, their scores, and what looking at one costs."""

    feasible: Feasible

    def scores(self, population: Population, seed: int) -> Floats:
        """Top-1 percent of each genotype, as a search sees it: (n,)."""
        ...

    def spent(self, population: Population) -> Floats:
        """Multiply-adds that training each genotype costs: (n,)."""
        ...

    def final(self, genotype: Genotype, seed: int) -> dict[str, float]:
        """What the network found is worth, by the name of each figure."""
        ...


def feasible_of(space: SearchSpace, macs_share: float | None) -> Feasible:
    """The networks below `macs_share` of the reachable range of multiply-adds; all of them where it is None."""
    if macs_share is None:
        return Feasible(space)
    macs = space.count("macs")
    low, high = macs.reachable()
    return Feasible(space, [Limit("macs", macs, low + macs_share * (high - low))])


class MacroTable:
    """NAS-Bench-Macro: CIFAR-10 accuracies of all 6,561 networks, three trainings each.

    A search sees the mean of the three, the final figures are that mean and the regret to the best within the budget.
    """

    def __init__(self, macs_share: float | None) -> None:
        self.feasible = feasible_of(nas_bench_macro.space(), macs_share)
        self.table = nas_bench_macro.Table()

    def scores(self, population: Population, seed: int) -> Floats:
        return self.table.accuracy[self.table.index(population)]

    def spent(self, population: Population) -> Floats:
        return self.table.macs[self.table.index(population)]

    def final(self, genotype: Genotype, seed: int) -> dict[str, float]:
        top1 = float(self.scores(np.array([genotype]), seed)[0])
        return {"top1_percent": top1, "regret_points": self.best - top1}

    @cached_property
    def best(self) -> float:
        return float(self.table.accuracy[self.feasible.mask(self.table.population)].max())


@dataclass
class Trainings:
    """Real trainings: scores on images held out of the training images, final figures on the test images.

    `recipe` trains the candidates of a search; the network found is trained anew with each of `final_recipes`.
    """

    space: SearchSpace
    data: dict[str, Any]
    recipe: Recipe
    final_recipes: dict[str, Recipe]
    macs_share: float | None = None
    validation_fraction: float = 0.2

    def __post_init__(self) -> None:
        self.feasible = feasible_of(self.space, self.macs_share)
        self._macs = self.space.count("macs")
        self._known: dict[tuple[int, Genotype], float] = {}

    def scores(self, population: Population, seed: int) -> Floats:
        found = []
        for row in population.tolist():
            key = (seed, tuple(row))
            if key not in self._known:
                self._known[key] = self._train(tuple(row), seed)
            found.append(self._known[key])
        return np.array(found)

    def _train(self, genotype: Genotype, seed: int) -> float:
        arch = self.space.decode(genotype)
        job = TrainingJob(
            arch=arch.to_dict(),
            recipe=self.recipe.to_dict(),
            data=self.data,
            fingerprint=data_of(self.data).fingerprint,
            validation_fraction=self.validation_fraction,
            seed=seed,
            candidate=arch.id,
            accelerator="cpu",
            precision="no",
        )
        return float(train_candidate(job)["top1_percent"])

    def spent(self, population: Population) -> Floats:
        images = len(data_of(self.data).train) * (1 - self.validation_fraction)
        return 3 * self._macs(population) * images * self.recipe.epochs  # a backward pass costs about two forward ones

    def final(self, genotype: Genotype, seed: int) -> dict[str, float]:
        arch, data = self.space.decode(genotype), data_of(self.data)
        figures = {}
        for name, recipe in self.final_recipes.items():
            network = training.build_network(arch, recipe, seed=seed)
            trained = training.train(network, data, recipe, seed=seed, accelerator=make_accelerator("cpu"))
            figures[f"top1_percent {name}"] = trained["top1_percent"]
        return figures


@dataclass(frozen=True)
class Allowance:
    """How much a search may use: trainings, multiply-adds spent in trainings, or seconds; one of the three."""

    trainings: int | None = None
    macs: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.trainings, self.macs, self.seconds) if value is not None]
        if len(given) != 1 or not given[0] > 0:
            raise ValueError(f"give one positive allowance: trainings, macs or seconds; got {self}")

    def left(self, used: Used) -> bool:
        """Whether another batch may begin."""
        if self.trainings is not None:
            return used.trainings < self.trainings
        if self.macs is not None:
            return used.macs < self.macs
        assert self.seconds is not None
        return time.perf_counter() - used.began < self.seconds


@dataclass(frozen=True)
class Used:
    """What a search has used so far."""

    began: float
    trainings: int = 0
    macs: float = 0.0

    def plus(self, trainings: int, macs: float) -> Used:
        return replace(self, trainings=self.trainings + trainings, macs=self.macs + macs)


def baselines(task: Comparison) -> dict[str, Population]:
    """Networks that need no search: the most expensive within the budget, and those with one choice at every position.

    Uniform networks beyond the budget, and choices that not every position has, are left out.
    """
    space, feasible = task.feasible.space, task.feasible
    macs = space.count("macs")
    listed = feasible.enumerate()
    if listed is None:  # a large space: exact without a budget, else the best of many draws within it
        rng = np.random.default_rng(0)
        listed = feasible.sample(200_000, rng) if feasible.limits else np.array([macs.most_expensive()])
    largest = listed[macs(listed).argmax()][None]
    least = int(space.cardinalities.min())
    uniform = np.repeat(np.arange(least)[:, None], len(space.variables), axis=1)
    return {"largest": largest, "uniform": uniform[feasible.mask(uniform)]}


def best_of(task: Comparison, population: Population, seed: int) -> Genotype:
    """The genotype of highest score."""
    best = population[int(np.nanargmax(task.scores(population, seed)))]
    return tuple(int(gene) for gene in best)
