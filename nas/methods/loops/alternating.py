"""Steps of weights and of theta in turn, on two parts of the training data (FBNet, arXiv 1812.03443, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from nas.methods.loops.gradient import GradientSearch


@dataclass(kw_only=True)
class Alternating(GradientSearch):
    """Hyper-parameters of the weights' optimiser, of theta's (Adam) and of the Gumbel-softmax temperature.

    The temperature of an epoch: `nas.methods.supernets.objectives.temperature_at`.
    """

    weight_optimizer: Literal["sgd", "adamw"]
    theta_lr: float
    theta_betas: list[float]
    theta_weight_decay: float
    temperature: float
    temperature_decay: float
    temperature_floor: float

    positive: ClassVar[tuple[str, ...]] = (
        "batch_size",
        "weight_lr",
        "theta_lr",
        "temperature",
        "temperature_floor",
        "penalty",
    )
