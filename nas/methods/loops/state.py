"""What changes during a search that trains weights and choices by gradient, and the checkpoint that keeps it."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from nas.methods.base import Task
from nas.runs import checkpoint as checkpoints
from nas.runs.keeping.collapse import Collapsed, Watch
from nas.runs.keeping.keeper import Keeper
from nas.runs.keeping.under_way import UnderWay
from nas.runs.resuming import check_checkpoint
from nas.runs.stored import Count, NonNegative, Schema, record
from nas.terminal.progress import log
from nas.train.accelerator import agreement
from search_spaces.plain_data.identity import Identity

FORMAT = "nas.gradient_search"
PROGRESS: Schema = {  # of a checkpoint; the last ones are missing in those from before there were such things
    "epochs_done": Count,
    "multiplier": float,
    "seconds": NonNegative,
    "identity": dict,
    "decided": bool | None,
    "best": float | None,
    "roll_backs": Count | None,
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
        cure = f"lower method.weight_lr; earlier epochs are kept in {task.checkpoint}"
        self.watch = Watch(task.keeping.on_collapse, "the search", task.data.num_classes, cure)
        agree = agreement(task.accelerator)
        self.keeper = Keeper(task.checkpoint, task.keeping.minutes, task.accelerator.is_main_process, agree)
        self.under_way = UnderWay(self.keeper, lambda: self._state(self.epochs_done, False), task.accelerator.device)
        self._good: dict[str, Any] | None = None  # the last good epoch, where it may be gone back to

    def compiled(self, network: nn.Module) -> nn.Module:
        """What steps call in place of `network`: itself, or through `torch.compile`, where the method asks for that."""
        return cast("nn.Module", torch.compile(network, dynamic=False)) if self.method.compile else network

    @abstractmethod
    def probabilities(self) -> tuple[np.ndarray, ...]:
        """P(choice) of each variable, (choices,) each, in double precision."""

    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """What a checkpoint keeps, by its name there: tensors, and what has a `state_dict`."""

    def save(self, epochs_done: int, decided: bool = False) -> None:
        """Keep the state after so many epochs; `decided`: the search has ended with them."""
        self.epochs_done = epochs_done
        state = self._state(epochs_done, decided)
        self._is_good(state)
        if self.task.accelerator.is_main_process:
            checkpoints.save(self.task.checkpoint, state)
        self.keeper.finished()

    def roll_back(self, error: Collapsed) -> int:
        """Go back to the last good epoch; its number of epochs. Raises `error` where that is not to be done."""
        self.keeper.finished()
        self.watch.roll_back(error)
        assert self._good is not None
        good = copy.deepcopy(self._good)  # optimisers change what they load
        self._load({**good, "roll_backs": self.watch.roll_backs}, self.task.checkpoint)
        self.epochs_done = int(self._good["epochs_done"])
        return self.epochs_done

    def check_weights(self, epoch: int) -> None:
        """Raise `Collapsed` where `epoch` (from 0) left weights that are not finite: such a state is never kept."""
        for part in self.parts().values():
            if isinstance(part, nn.Module) and not all(bool(torch.isfinite(p).all()) for p in part.parameters()):
                left = f"epoch {epoch + 1} left weights that are not finite"
                raise Collapsed(f"the search diverged: {left}; {self.watch.cure}")

    def _is_good(self, state: dict[str, Any]) -> None:
        """Remember `state`, where it may be gone back to."""
        if self.watch.policy == "roll_back":
            self._good = copy.deepcopy(state)

    def _state(self, epochs_done: int, decided: bool) -> dict[str, Any]:
        state = {
            "format": FORMAT,
            "identity": dict(self._identity),
            "epochs_done": epochs_done,
            "decided": decided,
            "multiplier": self.multiplier,
            "seconds": self.seconds,
        }
        if self.watch.best < math.inf:
            state["best"] = self.watch.best
        if self.watch.roll_backs:
            state["roll_backs"] = self.watch.roll_backs
        for name, part in self._all_parts().items():
            state[name] = part.detach() if isinstance(part, Tensor) else part.state_dict()
        return state

    def restore(self) -> int:
        """Continue from the checkpoint if there is one; returns the number of finished epochs."""
        path = self.task.checkpoint
        state = checkpoints.latest(path)
        if state is not None:
            self.epochs_done = self._take(state, path)
        self._is_good(self._state(self.epochs_done, False))
        part = self.keeper.unfinished()
        if part is not None and part.get("epochs_done") == self.epochs_done and not (state and state.get("decided")):
            self._take(part, path)
            self.under_way.found(part["within"])
        return self.epochs_done

    def _take(self, state: dict[str, Any], path: Path) -> int:
        if state.get("format") != FORMAT:
            raise ValueError(f"{path} is not a checkpoint of this kind of search; give a new run_dir")
        state = record(state, PROGRESS, f"checkpoint {path}")
        done = int(state["epochs_done"])
        method: Resumable = self.method
        finished = bool(state["decided"]) or done >= method.epochs
        changes = check_checkpoint(path, state["identity"], self._identity, method.may_change, finished)
        if changes and "within" not in state:
            log(f"the search goes on after {done} epochs with a change: {'; '.join(changes)}")
        self._load(state, path)
        return done

    def _load(self, state: dict[str, Any], path: Path) -> None:
        self.multiplier, self.seconds = state["multiplier"], state["seconds"]
        best, self.watch.roll_backs = state.get("best"), state.get("roll_backs") or 0
        self.watch.best = math.inf if best is None else best
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

    def _all_parts(self) -> dict[str, Any]:
        scaler = self.task.accelerator.scaler
        return self.parts() | ({} if scaler is None else {"scaler": scaler})
