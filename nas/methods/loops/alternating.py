"""Steps of weights and of theta in turn, on two parts of the training data (FBNet, arXiv 1812.03443, section 3.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from nas.methods.loops.gradient import GradientSearch


@dataclass(kw_only=True)
class Alternating(GradientSearch):
    """Hyper-parameters of the weights' optimiser, of theta's (Adam) and of the Gumbel-softmax temperature.

    The temperature of an epoch: `nas.methods.supernets.objectives.temperature_at`. `temperature_decay` None: as much
    an epoch as leads to `temperature_floor` in the last one, however many there are.
    """

    weight_optimizer: Literal["sgd", "adamw"]
    theta_lr: float
    theta_betas: list[float]
    theta_weight_decay: float
    temperature: float
    temperature_decay: float | None
    temperature_floor: float

    positive: ClassVar[tuple[str, ...]] = (
        "batch_size",
        "weight_lr",
        "theta_lr",
        "temperature",
        "temperature_floor",
        "penalty",
    )

    not_negative: ClassVar[tuple[str, ...]] = ("weight_decay", "theta_weight_decay", "temperature_decay")

    def temperature_of(self, epoch: int) -> float:
        """The temperature of `epoch`."""
        from nas.methods.supernets.objectives import temperature_at  # here: settings are read without torch

        decay = self.temperature_decay
        if decay is None:
            decay = max(0.0, math.log(self.temperature / self.temperature_floor)) / max(1, self.epochs - 1)
        return temperature_at(epoch, self.temperature, decay, self.temperature_floor)
