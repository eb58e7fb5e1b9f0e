"""The hyper-parameters of FBNetV3's predictor; see `predictors.fbnetv3`."""

from __future__ import annotations

from dataclasses import dataclass, field

from predictors.pretraining import Pretraining


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

    members: int = 8
    encoder: tuple[int, ...] = (128, 64, 32)
    head: tuple[int, ...] = (64,)
    frozen_steps: int = 200
    tuned_steps: int = 100
    head_lr: float = 1e-2
    tuned_lr: float = 1e-3
    weight_decay: float = 1e-2
    pretraining: Pretraining | None = field(default_factory=Pretraining)

    def __post_init__(self) -> None:
        if self.members < 1 or not self.encoder or min((*self.encoder, *self.head)) < 1:
            raise ValueError(
                f"fbnetv3 needs at least one member and widths of at least 1, got members={self.members}, "
                f"encoder={self.encoder}, head={self.head}"
            )
        if self.frozen_steps + self.tuned_steps < 1:
            raise ValueError("fbnetv3 learns nothing in 0 steps; give frozen_steps or tuned_steps")
