"""What several processes of one search do together: the supernet, and the final network. The first leads.

It measures, derives, compares and writes by itself, and calls the others to each training that is worth sharing. They
have the same setup; a call carries what only the first knows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from nas.methods.base import Task, is_supernet
from nas.methods.elastic import pretraining
from nas.runs import resuming
from nas.search.setup import SearchSetup
from nas.terminal import launch
from nas.train import training
from nas.train.options import Begin
from nas.train.several.team import call, calls
from nas.train.start.teacher import distillation_of
from search_spaces.arch import Arch
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.recipe import Recipe


class Shared(Protocol):
    """A training that all processes take part in."""

    def join(self, setup: SearchSetup) -> None:
        """Take part in it, without a record."""
        ...


def begin(setup: SearchSetup, work: Shared) -> None:
    """The first process: let the others join `work`, which it begins itself next."""
    call(setup.compute.here, work)


def end(setup: SearchSetup) -> None:
    """The first process: let the others end."""
    call(setup.compute.here, None)


def join_all(setup: SearchSetup) -> bool:
    """All but the first process: join until the search has ended; whether this process is one of them.

    Processes that are started from here on compute by themselves. Raises `ValueError` for a search that shares nothing.
    """
    accelerator = setup.compute.here
    if accelerator.num_processes == 1:
        return False
    if not is_supernet(setup.method) and not setup.is_elastic:
        raise ValueError(
            f"method={setup.method_name} trains each candidate in a process of its own and shares none between the "
            f"{accelerator.num_processes} that were launched; start it without a launcher, with executor.workers=, or "
            "take search.scorer=elastic"
        )
    launch.forget()
    if accelerator.is_main_process:
        return False
    for work in calls(accelerator):
        work.join(setup)
    return True


@dataclass(frozen=True)
class SupernetSearch:
    """Weights and choices of a supernet by gradient; `limit_ms` None: no budget."""

    cost: AdditiveCost
    limit_ms: float | None
    checkpoint: Path

    def task(self, setup: SearchSetup) -> Task:
        """The task, which reports nothing."""
        problem, here = setup.problem, setup.compute.here
        space, data = problem.space.architectures, problem.data
        return Task(
            space, data, self.cost, self.limit_ms, setup.seed, here, self.checkpoint, _nothing, keeping=setup.keeping
        )

    def join(self, setup: SearchSetup) -> None:
        assert is_supernet(setup.method)
        setup.method.search(self.task(setup))


@dataclass(frozen=True)
class Pretraining:
    """An elastic supernet on the images that do not score; `cost`: what archs are drawn uniformly in."""

    cost: AdditiveCost
    checkpoint: Path

    def task(self, setup: SearchSetup) -> Task:
        """The task, which reports nothing."""
        problem, here = setup.problem, setup.compute.here
        data = problem.data.held_out(1 - setup.candidates.validation_fraction, setup.seed)
        return Task(
            problem.space.architectures,
            data,
            self.cost,
            None,
            setup.seed,
            here,
            self.checkpoint,
            _nothing,
            keeping=setup.keeping,
        )

    def join(self, setup: SearchSetup) -> None:
        assert setup.pretraining is not None
        pretraining.pretrain(setup.pretraining, self.task(setup))


@dataclass(frozen=True)
class FinalTraining:
    """The training of the network that was found, from its `weights` as they are now."""

    arch: Arch
    recipe: Recipe
    weights: dict[str, Tensor]
    checkpoint: Path
    begin: Begin | None

    def options(self, setup: SearchSetup) -> training.Options:
        """Its options, which report nothing."""
        return training.Options(
            self.checkpoint,
            may_change=resuming.MAY_CHANGE,
            evaluate_every=setup.training.evaluate_every,
            begin=self.begin,
            keeping=setup.keeping,
            distillation=distillation_of(setup.teacher, setup.problem.data),
        )

    def join(self, setup: SearchSetup) -> None:
        data = setup.problem.data
        if self.arch.resolution != data.resolution:
            data = setup.problem.source.at(self.arch.resolution)
        network = training.build_network(self.arch, self.recipe, seed=setup.seed)
        network.load_state_dict(self.weights)
        options = self.options(setup)
        training.train(network, data, self.recipe, seed=setup.seed, accelerator=setup.compute.here, options=options)


def reporting(task: Task, on_epoch: Callable[[int, dict[str, float]], None], on_share: Callable[[float], None]) -> Task:
    """`task` of the process that reports."""
    return dataclasses.replace(task, on_epoch=on_epoch, on_share=on_share)


def _nothing(*_: Any) -> None:
    return None
