"""How architecture encoders learn from free statistics; see `predictors.fbnetv3.encoders`."""

from __future__ import annotations

from dataclasses import dataclass

from search_spaces.plain_data.annotations import AboveZero, Positive
from search_spaces.plain_data.fields import check_fields


@dataclass(frozen=True)
class Pretraining:
    """How encoders learn the free statistics: Adam under a one-cycle learning rate.

    `samples`: architectures seen, each a fresh draw; from a pool, in shuffled passes. `lr`: the highest.
    """

    samples: Positive = 400_000
    batch_size: Positive = 1024
    lr: AboveZero = 3e-3

    def __post_init__(self) -> None:
        check_fields(self, "pretraining")
