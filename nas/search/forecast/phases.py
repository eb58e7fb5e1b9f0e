"""The phases of a search and how many images each trains on; with the pace of a trial, how long they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.methods.base import is_supernet
from nas.methods.candidates.executors.base import at_a_time
from nas.search.forecast.trial import seconds_an_image
from nas.search.pricing.prices import Prices
from nas.search.setup import SearchSetup
from nas.terminal.progress import format_seconds, log
from search_spaces.pricing.budgets import Feasible

WORTH = 10_000  # images trained on in all, below which nothing is said: it is over before it is read
FORWARD = 1 / 3  # of a training step


@dataclass(frozen=True)
class Phase:
    """`images`: trained on by one network like those that are found, or as much work; None: the search itself tells."""

    name: str
    images: float | None


def phases(setup: SearchSetup) -> list[Phase]:
    """What is ahead of a search by `setup` once its device is measured, in order."""
    data, settings = setup.problem.data, setup.candidates
    count, kept = len(data.train), 1 - settings.validation_fraction
    found: list[Phase] = []
    if is_supernet(setup.method):
        found.append(Phase(f"search, {setup.method.epochs} epochs at most", None))
    else:
        trials = settings.trials
        validation = count * settings.validation_fraction
        learned = kept * count if settings.images is None else settings.images
        each = learned * setup.trained_space.recipes.base.epochs + validation * FORWARD
        if setup.is_elastic:
            each = (settings.statistics + validation) * FORWARD
            if setup.pretraining is not None and settings.supernet is None:
                work = setup.pretraining.recipe.epochs * kept * count * (2 + setup.pretraining.random)
                found.append(Phase("pretraining", work))
        found.append(Phase(f"{trials} candidates", trials * each / min(at_a_time(setup.executor), trials)))
    if setup.training.enabled and setup.final_epochs:
        contestants = setup.contestants
        epochs = setup.plan(contestants).total_epochs if contestants else setup.final_epochs
        looked = len(data.test) * FORWARD if setup.training.evaluate_every else 0.0
        name = "contest and training" if contestants else "training"
        found.append(Phase(name, epochs * count + setup.final_epochs * looked))
    return found


@dataclass(frozen=True)
class Forecast:
    """Phases with their seconds; of the first, None where only the search itself tells."""

    names: tuple[str, ...]
    seconds: tuple[float | None, ...]

    def sentence(self, first: float | None = None) -> str:
        """All of it, `first` being the seconds of what was not known before."""
        known = [first if each is None else each for each in self.seconds]
        parts = [
            f"{name} {'known after its first steps' if each is None else f'about {format_seconds(each)}'}"
            for name, each in zip(self.names, known, strict=True)
        ]
        total = sum(each for each in known if each is not None)
        whole = f"about {format_seconds(total)} ahead" if None not in known else "ahead"
        return f"{whole}: {', '.join(parts)}"


def forecast(setup: SearchSetup, prices: Prices) -> Forecast | None:
    """What `setup` takes from here on, by a trial of one network within its budgets. None for a short one.

    A trial takes a second or two at most. Several processes share trainings, and what that saves nothing tells before.
    """
    ahead = phases(setup)
    known = sum(phase.images or 0.0 for phase in ahead)
    if not ahead or known < WORTH or setup.compute.here.num_processes > 1:
        return None
    space = setup.problem.space
    genotype = _typical(setup, prices)
    pace = seconds_an_image(space.decode(genotype), space.recipe(genotype), setup.compute.here)
    seconds = [None if phase.images is None else phase.images * pace for phase in ahead]
    return Forecast(tuple(phase.name for phase in ahead), tuple(seconds))


def _typical(setup: SearchSetup, prices: Prices) -> Sequence[int]:
    """The network of middle multiply-adds among some within the budgets."""
    space = setup.problem.space
    drawn = Feasible(space, prices.limits).sample(7, np.random.default_rng(0))
    macs = [space.decode(tuple(int(g) for g in row)).macs for row in drawn]
    return tuple(int(g) for g in drawn[int(np.argsort(macs)[len(macs) // 2])])


class Told:
    """Says once what a search takes in all: at once where that is known, else when it has seen enough of itself."""

    ENOUGH = 4.0  # seconds of the search behind its first step, which takes longer than the others

    def __init__(self, forecast: Forecast | None) -> None:
        self.forecast, self.waits = forecast, False
        self.first: tuple[float, float] | None = None
        if forecast is not None:
            log(forecast.sentence())
            self.waits = None in forecast.seconds

    def see(self, done: float, total: float, seconds: float) -> None:
        """`done` of `total` pieces of the search's work took `seconds`."""
        if not self.waits or self.forecast is None or done <= 0:
            return
        if self.first is None:
            self.first = done, seconds
        worked, took = done - self.first[0], seconds - self.first[1]
        if worked > 0 and took >= self.ENOUGH:
            self.waits = False
            log(self.forecast.sentence(total * took / worked))
