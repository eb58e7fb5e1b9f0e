"""How architecture encoders learn from free statistics; see `predictors.fbnetv3.encoders`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pretraining:
    """How encoders learn the free statistics: Adam under a one-cycle learning rate.

    `samples`: architectures seen, each a fresh draw; from a pool, in shuffled passes. `lr`: the highest.
    """

    samples: int = 400_000
    batch_size: int = 1024
    lr: float = 3e-3

    def __post_init__(self) -> None:
        for name in ("samples", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"pretraining.{name} must be at least 1, got {getattr(self, name)}")
        if not self.lr > 0:
            raise ValueError(f"pretraining.lr must be greater than 0, got {self.lr:g}")
