"""What the searches that train weights and choices by gradient share: hyper-parameters, their checks, the epochs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nas.methods.base import SupernetMethod, Task
from nas.runs.memory import keep_freed_memory
from nas.runs.resuming import SEARCH_FIXES
from search_spaces.plain_data.identity import digest

if TYPE_CHECKING:
    from nas.methods.loops.state import State


@dataclass(kw_only=True)
class GradientSearch(SupernetMethod):
    """Hyper-parameters of the weights, of the two parts of the data and of the budget.

    `weight_fraction`: of the training images, for the weights. `penalty`: of the budget's augmented Lagrangian.
    `augment`: a policy of `nas.data.AUGMENTS`. `warmup_epochs`: None is two fifths of the epochs, rounded down; see
    `warmup`. Raises `ValueError` for a value outside its range.
    """

    epochs: int
    warmup_epochs: int | None
    batch_size: int
    weight_fraction: float
    weight_lr: float
    weight_momentum: float
    weight_decay: float
    zero_init_residual: bool
    penalty: float
    augment: str | None

    positive: ClassVar[tuple[str, ...]] = ("batch_size", "weight_lr", "penalty")

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"method.epochs must be >= 1, got {self.epochs}")
        if not 0 <= self.warmup < self.epochs:
            raise ValueError(
                f"warmup_epochs must lie in 0..epochs-1, got {self.warmup} of {self.epochs} epochs; "
                f"give more method.epochs, or method.warmup_epochs={self.epochs - 1} at most"
            )
        if not 0 < self.weight_fraction < 1:
            raise ValueError(f"weight_fraction must lie between 0 and 1, got {self.weight_fraction}")
        for name in self.positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}")

    @property
    def warmup(self) -> int:
        """Epochs of warm-up."""
        return 2 * self.epochs // 5 if self.warmup_epochs is None else self.warmup_epochs

    def identity(self, task: Task) -> dict[str, Any]:
        """Everything that the checkpoint of a search of `task` depends on."""
        from nas.train.training import TRAINING_VERSION

        cost = task.cost
        return {
            "search": type(self).__name__,
            "version": TRAINING_VERSION,
            "method": {**dataclasses.asdict(self), "warmup_epochs": self.warmup},
            "space": task.space.fingerprint,
            "data": task.data.fingerprint,
            "costs": digest([cost.fixed, cost.variables, [repr(table.tolist()) for table in cost.tables]]),
            "limit_ms": task.limit_ms,
            "seed": task.seed,
            "precision": task.accelerator.mixed_precision,
        }

    @property
    def may_change(self) -> Collection[str]:
        """Entries of the identity that an unfinished search may go on with other values of."""
        return SEARCH_FIXES

    def finished(self, checkpoint: Path) -> int:
        """Epochs done in `checkpoint`; 0 where there is none."""
        from nas.runs import checkpoint as checkpoints
        from nas.runs.stored import Count, record

        state = checkpoints.latest(checkpoint)
        return 0 if state is None else record(state, {"epochs_done": Count}, f"checkpoint {checkpoint}")["epochs_done"]

    def run(self, task: Task, state: State, epoch: Callable[[int], dict[str, float]]) -> None:
        """The epochs that `state` has not seen, each timed, reported and then kept in the checkpoint.

        In this order: a resumed run forgets records that the checkpoint has not seen, and misses none.
        """
        if task.accelerator.device.type == "cpu":
            keep_freed_memory()
        for index in range(state.restore(), self.epochs):
            began = time.perf_counter()
            record = epoch(index)
            state.seconds += time.perf_counter() - began
            task.on_epoch(index, record)
            state.save(index + 1)
