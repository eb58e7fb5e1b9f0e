"""What the searches that train weights and choices by gradient share: hyper-parameters, their checks, the epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from nas.methods.base import SupernetMethod, Task
from nas.methods.supernets.decision import Deciding, Decision
from nas.runs.keeping import stopping
from nas.runs.memory import keep_freed_memory
from nas.runs.resuming import SEARCH_FIXES
from search_spaces.arch import own_code
from search_spaces.augment import AUGMENTS
from search_spaces.plain_data.identity import digest

if TYPE_CHECKING:
    from nas.methods.loops.state import State

ADDED: dict[str, Any] = {  # settings that checkpoints of earlier searches know nothing of, and the values that are off
    "decided_at": None,
    "entropy_weight": 0.0,
    "theta_passes": 1,
    "negligible": 0.0,
    "compile": False,
}


@dataclass(kw_only=True)
class GradientSearch(SupernetMethod):
    """Hyper-parameters of the weights, of the two parts of the data and of the budget.

    `weight_fraction`: of the training images, for the weights. `penalty`: of the budget's augmented Lagrangian.
    `augment`: a policy of `nas.data.AUGMENTS`. `warmup_epochs`: None is two fifths of the epochs, rounded down; see
    `warmup`.

    `epochs` are an allowance: the search ends before with the first epoch behind the warm-up after which the mean
    probability of its likeliest choices is `decided_at` (None: never; see `supernets.decision`). Two things help it to
    decide, and what they are not given leaves the search as it is without them: `theta_passes` over the part of the
    images that teaches the choices, an epoch; and `entropy_weight`, with which the entropy of the choices enters their
    loss (see `entropy_at`). Departure: no paper has the last three.

    `compile`: steps that run all candidates go through `torch.compile`. A path is an argument of theirs, so that they
    are compiled once where weights learn and once where choices do, however many paths are drawn.

    Raises `ValueError` for a value outside its range.
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
    decided_at: float | None = None
    entropy_weight: float = 0.0
    theta_passes: int = 1
    compile: bool = False

    positive: ClassVar[tuple[str, ...]] = ("batch_size", "weight_lr", "penalty")
    not_negative: ClassVar[tuple[str, ...]] = ("weight_decay",)

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
        for name in self.not_negative:
            if (value := getattr(self, name)) is not None and not value >= 0:
                raise ValueError(f"{name} must be >= 0, got {value}")
        if not 0 <= self.weight_momentum < 1:
            raise ValueError(f"weight_momentum must lie in [0, 1), got {self.weight_momentum}")
        if self.augment is not None and self.augment not in AUGMENTS:
            raise ValueError(f"unknown augmentation {self.augment!r}; one of {', '.join(AUGMENTS)}")
        if self.decided_at is not None and not 0 < self.decided_at <= 1:
            raise ValueError(f"decided_at must lie in (0, 1], got {self.decided_at}; null searches all epochs")
        if self.entropy_weight < 0:
            raise ValueError(f"entropy_weight must be >= 0, got {self.entropy_weight}")
        if self.theta_passes < 1:
            raise ValueError(f"theta_passes must be >= 1, got {self.theta_passes}")

    @property
    def warmup(self) -> int:
        """Epochs of warm-up."""
        return 2 * self.epochs // 5 if self.warmup_epochs is None else self.warmup_epochs

    def work_of(self, epoch: int) -> float:
        """Passes over the training images: behind the warm-up the choices' part is passed as well."""
        theta = self.theta_passes * (1 - self.weight_fraction) if epoch >= self.warmup else 0.0
        return self.weight_fraction + theta

    def taught(self, epoch: int) -> float:
        """Share of the epochs behind the warm-up that are done with `epoch`; 0 or less before."""
        return (epoch + 1 - self.warmup) / (self.epochs - self.warmup)

    def entropy_at(self, epoch: int) -> float:
        """Weight of the entropy in `epoch`: it grows evenly behind the warm-up, to `entropy_weight` in the last one."""
        return self.entropy_weight * max(0, epoch + 1 - self.warmup) / (self.epochs - self.warmup)

    def has_decided(self, decision: Decision, epochs_done: int) -> bool:
        """Whether a search that stands at `decision` (made at `decided_at`) after so many epochs ends."""
        return self.decided_at is not None and epochs_done > self.warmup and decision.is_made

    def identity(self, task: Task) -> dict[str, Any]:
        """Everything that the checkpoint of a search of `task` depends on."""
        from nas.train.accelerator import several
        from nas.train.training import TRAINING_VERSION

        cost = task.cost
        settings = {**dataclasses.asdict(self), "warmup_epochs": self.warmup}
        for name, off in ADDED.items():  # checkpoints written before there was such a setting go on without it
            if settings.get(name, off) == off:
                settings.pop(name, None)
        return {
            "search": type(self).__name__,
            "version": TRAINING_VERSION,
            "method": settings,
            "space": task.space.fingerprint,
            **own_code(task.space.table_entries()),
            "data": task.data.fingerprint,
            "costs": digest([cost.fixed, cost.variables, [repr(table.tolist()) for table in cost.tables]]),
            "limit_ms": task.limit_ms,
            "seed": task.seed,
            "precision": task.accelerator.mixed_precision,
            **several(task.accelerator),
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

        In this order: a resumed run forgets records that the checkpoint has not seen, and misses none. Whether the
        search has decided is read from what the checkpoint holds, so that a resumed one ends where a whole one does.
        """
        if task.accelerator.device.type == "cpu":
            keep_freed_memory()
        deciding = Deciding(task.space, self.decided_at)
        done = state.restore()
        decided = not state.under_way.is_waiting and self.has_decided(deciding.of(state.probabilities()), done)
        while done < self.epochs and not decided:
            with stopping.at_next_step():
                done, decided = self._one_epoch(task, state, epoch, deciding)
        state.epochs_done = done

    def _one_epoch(
        self, task: Task, state: State, epoch: Callable[[int], dict[str, float]], deciding: Deciding
    ) -> tuple[int, bool]:
        """The next epoch, looked at, reported and kept: epochs done, and whether the search has decided with them."""
        from nas.methods.loops.signs import signs  # here: settings are read without torch
        from nas.runs.keeping.collapse import Collapsed

        done = state.epochs_done
        try:
            record = epoch(done)
            state.check_weights(done)
            state.watch.look(done, record["weight_loss"])
            found = state.probabilities()
            decision = deciding.of(found)
            record |= {"mean_top_probability": decision.mean_top_probability, "normalised_entropy": decision.entropy}
            for kind, text in signs(task, done, self.taught(done), record, found):
                state.watch.sign(kind, text)
        except Collapsed as error:
            return state.roll_back(error), False
        state.seconds += state.under_way.seconds
        if state.watch.roll_backs:
            record["roll_backs"] = state.watch.roll_backs
        task.on_epoch(done, record)
        decided = self.has_decided(decision, done + 1)
        state.save(done + 1, decided)
        return done + 1, decided
