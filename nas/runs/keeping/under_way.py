"""An epoch that can be left behind any step and taken up again: its losses, its seconds, its random numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nas.runs.keeping.keeper import Keeper
from nas.runs.keeping.randomness import random_state, set_random_state


class UnderWay:
    """What a checkpoint inside of an epoch holds beside the `state` of its loop, and when `keeper` wants it.

    `device`: where the losses are.
    """

    def __init__(self, keeper: Keeper, state: Callable[[], dict[str, Any]], device: torch.device) -> None:
        self.keeper, self._state, self._device = keeper, state, device
        self._within: dict[str, Any] | None = None
        self._began = 0.0

    def found(self, within: dict[str, Any] | None) -> None:
        """The next epoch goes on from `within`, what a checkpoint holds of it; None: from its beginning."""
        self._within = within

    @property
    def is_waiting(self) -> bool:
        """Whether an epoch is to be taken up."""
        return self._within is not None

    @property
    def seconds(self) -> float:
        """Of the present epoch so far, over all pieces."""
        return time.perf_counter() - self._began

    def take_up(self, *streams: torch.Generator, **losses: list[Tensor]) -> None:
        """At the beginning of an epoch, seeded as a whole one: put `streams` and `losses` where it was left."""
        self._began = time.perf_counter()
        within, self._within = self._within, None
        if within is None:
            return
        self._began -= float(within["seconds"])
        set_random_state(within["random"], *streams)
        for name, kept in losses.items():
            kept += within["losses"][name].to(self._device).unbind()

    def keep(self, *streams: torch.Generator, **losses: list[Tensor]) -> None:
        """Behind every step: keep what `take_up` needs where it is time to, or where the process is to end."""
        due = self.keeper.due()
        if due:
            within = {
                "seconds": self.seconds,
                "random": random_state(*streams),
                "losses": {name: torch.stack(kept).cpu() if kept else torch.empty(0) for name, kept in losses.items()},
            }
            self.keeper.keep({**self._state(), "within": within}, due)
