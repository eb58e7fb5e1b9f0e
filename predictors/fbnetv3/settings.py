"""The hyper-parameters of FBNetV3's predictor; see `predictors.fbnetv3`."""

from __future__ import annotations

from dataclasses import dataclass, field

from predictors.pretraining import Pretraining
from search_spaces.plain_data.annotations import AboveZero, Count, NonNegative, Positive
from search_spaces.plain_data.fields import check_fields


@dataclass(frozen=True)
class FBNetV3Settings:
    """Hyper-parameters of the predictor.

    `members`: independent networks whose deviation is the uncertainty, trained as one batched computation. `encoder`:
    widths of the encoder's layers, the embedding last; `head`: of the accuracy head's hidden layers. `frozen_steps` of
    Adam at `head_lr` with the encoder frozen, then `tuned_steps` of everything at `tuned_lr`. `weight_decay`:
    decoupled. `pretraining`: null for an encoder that starts at random.

    Departure: Adam on all data at a time, members of random starts, and warped targets (`Warp`); the paper trains one
    network, with the Huber loss (delta 1) used here too.
    """

    members: Positive = 8
    encoder: tuple[Positive, ...] = (128, 64, 32)
    head: tuple[Positive, ...] = (64,)
    frozen_steps: Count = 200
    tuned_steps: Count = 100
    head_lr: AboveZero = 1e-2
    tuned_lr: AboveZero = 1e-3
    weight_decay: NonNegative = 1e-2
    pretraining: Pretraining | None = field(default_factory=Pretraining)

    def __post_init__(self) -> None:
        check_fields(self, "fbnetv3")
        if not self.encoder:
            raise ValueError("fbnetv3.encoder must list the width of one layer at least, got none")
        if self.frozen_steps + self.tuned_steps < 1:
            raise ValueError("fbnetv3 learns nothing in 0 steps; give frozen_steps or tuned_steps")
