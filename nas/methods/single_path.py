"""Single-Path NAS (arXiv 1904.02877): one superkernel per block, thresholds that decide, trained together with it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from nas import checkpoint as checkpoints
from nas.methods.base import SearchResult, Task, layerwise
from nas.methods.superkernel_training import DefaultTraining, PaperTraining
from nas.nesting import nest_of
from nas.superblock import Mode
from search_spaces.space import SearchSpace


class SinglePath:
    """Searches any layer-wise space whose candidates nest in kernel and expansion; see `nas.superblock`.

    `mode="default"`: weights learn on one part of the training data, along paths drawn from the current probabilities,
    executed on slices; thresholds learn on the other part, through the masked superkernel, with an optimiser of their
    own (Adam). In the first `warmup_epochs` every candidate is equally likely and thresholds rest. With a budget an
    augmented Lagrangian of `LAT <= budget` steers, LAT the exact expectation over the table's entries; without one the
    published `CE + latency_weight * ln(LAT)`.

    `mode="paper"`: as published. One optimiser, all images, `CE + latency_weight * ln(R)` with the runtime formula's
    ratio approximation; while warming up each indicator is dropped with probability `1 - keep_probability` and the
    latency has no weight. A budget does not enter the search, only the derivation from its probabilities.
    Departures: batch norms keep torch's momentum and epsilon; no dropout before the classifier; no weight average.

    `schedule`: learning rate of the weights (in `paper` mode of everything), `cosine` per epoch or `step`, 3% less
    every 2.4 epochs. Weight decay spares batch norms, and in `default` mode thresholds.
    """

    def __init__(
        self,
        *,
        mode: Mode,
        epochs: int,
        warmup_epochs: int,
        batch_size: int,
        weight_fraction: float,
        weight_optimizer: Literal["sgd", "adamw", "rmsproptf"],
        weight_lr: float,
        weight_momentum: float,
        weight_decay: float,
        schedule: Literal["cosine", "step"],
        zero_init_residual: bool,
        threshold_lr: float,
        threshold_betas: list[float],
        latency_weight: float,
        penalty: float,
        keep_probability: float,
        label_smoothing: float,
        augment: str | None,
    ) -> None:
        if not 0 <= warmup_epochs < epochs:
            raise ValueError(f"warmup_epochs must lie in 0..epochs-1, got {warmup_epochs} of {epochs} epochs")
        if not 0 < weight_fraction < 1:
            raise ValueError(f"weight_fraction must lie between 0 and 1, got {weight_fraction}")
        if not 0 < keep_probability <= 1:
            raise ValueError(f"keep_probability must lie in (0, 1], got {keep_probability}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must lie in [0, 1), got {label_smoothing}")
        if latency_weight < 0:
            raise ValueError(f"latency_weight must be >= 0, got {latency_weight}")
        positive = {
            "batch_size": batch_size,
            "weight_lr": weight_lr,
            "threshold_lr": threshold_lr,
            "penalty": penalty,
        }
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"{name} must be > 0, got {value}")
        self.mode, self.epochs, self.warmup_epochs, self.batch_size = mode, epochs, warmup_epochs, batch_size
        self.weight_fraction, self.weight_optimizer = weight_fraction, weight_optimizer
        self.weight_lr, self.weight_momentum, self.weight_decay = weight_lr, weight_momentum, weight_decay
        self.schedule, self.zero_init_residual = schedule, zero_init_residual
        self.threshold_lr, self.threshold_betas = threshold_lr, threshold_betas
        self.latency_weight, self.penalty = latency_weight, penalty
        self.keep_probability, self.label_smoothing = keep_probability, label_smoothing
        self.augment = augment

    def check(self, space: SearchSpace) -> None:
        """Raise `ValueError` for a space that is not layer-wise or whose candidates do not nest."""
        for position in layerwise(space).positions:
            nest_of(position)

    def finished(self, checkpoint: Path) -> int:
        """Epochs done in `checkpoint`; 0 where there is none."""
        return int(checkpoints.load(checkpoint)["epochs_done"]) if checkpoint.exists() else 0

    def search(self, task: Task) -> SearchResult:
        """Train weights and thresholds. Raises `ValueError` where the space does not nest or the loss diverges."""
        state = PaperTraining(self, task) if self.mode == "paper" else DefaultTraining(self, task)
        for epoch in range(state.restore(), self.epochs):
            began = time.perf_counter()
            record = state.epoch(epoch)
            state.seconds += time.perf_counter() - began
            state.save(epoch + 1)
            task.on_epoch(epoch, record)
        return SearchResult(state.probabilities(), state.seconds, state.net.extract)
