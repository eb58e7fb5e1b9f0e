"""What changes during a search that trains weights and choices by gradient, and the checkpoint that keeps it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from nas.methods.base import Task
from nas.runs import checkpoint as checkpoints
from nas.runs.resuming import check_checkpoint
from nas.runs.stored import Count, NonNegative, Schema, record
from nas.terminal.progress import log
from search_spaces.plain_data.identity import Identity

FORMAT = "nas.gradient_search"
PROGRESS: Schema = {  # of a checkpoint; `decided` is missing in those of searches that could not end early
    "epochs_done": Count,
    "multiplier": float,
    "seconds": NonNegative,
    "identity": dict,
    "decided": bool | None,
}


class Resumable(Protocol):
    """The method of a search, as far as its checkpoint needs it."""

    epochs: int

    @property
    def may_change(self) -> Collection[str]:
        """Entries of the identity that an unfinished search may go on with other values of."""
        ...

    def identity(self, task: Task) -> Identity:
        """Everything that the checkpoint of a search of `task` depends on."""
        ...


class State(ABC):
    """Everything that changes during a search.

    `multiplier`: of the budget; `seconds` of all epochs so far; `epochs_done` once it has ended.
    """

    method: Any

    def __init__(self, method: Resumable, task: Task) -> None:
        self.method, self.task = method, task
        self._identity = method.identity(task)
        self.multiplier, self.seconds, self.epochs_done = 0.0, 0.0, 0

    @abstractmethod
    def probabilities(self) -> tuple[np.ndarray, ...]:
        """P(choice) of each variable, (choices,) each, in double precision."""

    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """What a checkpoint keeps, by its name there: tensors, and what has a `state_dict`."""

    def save(self, epochs_done: int, decided: bool = False) -> None:
        """Keep the state after so many epochs; `decided`: the search has ended with them."""
        state = {
            "format": FORMAT,
            "identity": dict(self._identity),
            "epochs_done": epochs_done,
            "decided": decided,
            "multiplier": self.multiplier,
            "seconds": self.seconds,
        }
        for name, part in self._all_parts().items():
            state[name] = part.detach() if isinstance(part, Tensor) else part.state_dict()
        checkpoints.save(self.task.checkpoint, state)

    def restore(self) -> int:
        """Continue from the checkpoint if there is one; returns the number of finished epochs."""
        path = self.task.checkpoint
        state = checkpoints.latest(path)
        if state is None:
            return 0
        if state.get("format") != FORMAT:
            raise ValueError(f"{path} is not a checkpoint of this kind of search; give a new run_dir")
        state = record(state, PROGRESS, f"checkpoint {path}")
        done = int(state["epochs_done"])
        method: Resumable = self.method
        finished = bool(state["decided"]) or done >= method.epochs
        changes = check_checkpoint(path, state["identity"], self._identity, method.may_change, finished)
        if changes:
            log(f"the search goes on after {done} epochs with a change: {'; '.join(changes)}")
        self.multiplier, self.seconds = state["multiplier"], state["seconds"]
        try:
            for name, part in self._all_parts().items():
                if isinstance(part, Tensor):
                    with torch.no_grad():
                        part.copy_(state[name])
                else:
                    part.load_state_dict(state[name])
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:  # of other kinds
            reason = str(error).splitlines()[0]
            raise ValueError(f"checkpoint {path} does not fit this search: {reason}") from None
        return done

    def _all_parts(self) -> dict[str, Any]:
        scaler = self.task.accelerator.scaler
        return self.parts() | ({} if scaler is None else {"scaler": scaler})
