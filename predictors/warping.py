"""Targets on a scale where errors are alike everywhere: accuracies crowd near their best value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictors.base import Floats

LIMIT = 8.0  # of |lambda|: beyond it the power overflows before it changes any rank


@dataclass(frozen=True)
class Warp:
    """Yeo and Johnson's power of the standardised targets (Biometrika 87, 2000, eq. 4), standardised again.

    With `z = (y - mean) / std`: `t = ((1 + z)^L - 1) / L` where z >= 0, `-((1 - z)^(2 - L) - 1) / (2 - L)` where z < 0;
    `L`, `power`, by maximum likelihood. It is strictly increasing, so it keeps every ranking of the targets; a long
    tail of poor networks no longer drowns the differences between good ones.
    """

    mean: float
    std: float
    power: float
    shift: float
    scale: float
    low: float
    high: float

    @staticmethod
    def fit(targets: Floats) -> Warp:
        """The warp of `targets` (n,), at least two of which differ."""
        from scipy.stats import yeojohnson

        mean, std = float(targets.mean()), float(targets.std())
        z = (targets - mean) / std
        power = float(np.clip(yeojohnson(z)[1], -LIMIT, LIMIT)) if len(targets) > 2 else 1.0
        warped = yeojohnson(z, power)
        return Warp(mean, std, power, float(warped.mean()), float(warped.std()), float(z.min()), float(z.max()))

    def forward(self, targets: Floats) -> Floats:
        """`targets` on the warped scale: mean 0 and deviation 1 over those it was fitted to."""
        return self._warped((targets - self.mean) / self.std)

    def backward(self, mean: Floats, std: Floats) -> tuple[Floats, Floats]:
        """Mean and deviation on the warped scale, in the targets' unit; the deviation by the slope at the mean.

        Outside the targets seen the inverse continues along its tangent: the power has no inverse everywhere.
        """
        ends = np.array([self.low, self.high])
        low, high = self._warped(ends)
        inside = self._inverse(np.clip(mean, low, high))
        slope = self.scale / np.where(inside >= 0, (1 + np.abs(inside)) ** (self.power - 1),
                                      (1 + np.abs(inside)) ** (1 - self.power))  # fmt: skip
        z = inside + (mean - np.clip(mean, low, high)) * slope
        return self.mean + self.std * z, self.std * std * slope

    def _warped(self, z: Floats) -> Floats:
        from scipy.stats import yeojohnson

        return np.asarray((yeojohnson(np.asarray(z, dtype=np.float64), self.power) - self.shift) / self.scale)

    def _inverse(self, warped: Floats) -> Floats:
        """`z` of warped values between those of the targets seen."""
        t, power = warped * self.scale + self.shift, self.power
        up, down = np.maximum(t, 0), np.maximum(-t, 0)
        above = np.expm1(up) if power == 0 else np.maximum(1 + power * up, 1e-300) ** (1 / power) - 1
        other = 2 - power
        below = np.expm1(down) if other == 0 else np.maximum(1 + other * down, 1e-300) ** (1 / other) - 1
        return np.clip(np.where(t >= 0, above, -below), self.low, self.high)
