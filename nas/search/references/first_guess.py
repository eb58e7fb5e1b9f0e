"""A first guess of the time of any network, from the rows of a table of other blocks: where to begin to measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.latency.tables.table import LatencyTable
from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.pricing.additive import Floats

BLOCK = 16  # channels: kernels for wide vectors compute whole blocks


@dataclass(frozen=True)
class FirstGuess:
    """Milliseconds as a sum over convolutions of `coefficients` times what each takes: see `features`.

    Right to a factor, not to a percent: what it says is corrected by the first measurement of a network's like.
    """

    coefficients: Floats

    @classmethod
    def of(cls, table: LatencyTable) -> FirstGuess:
        """Fitted to the isolated rows of `table` by relative error, no coefficient negative."""
        from scipy.optimize import nnls  # late: commands that measure nothing do not wait for it

        rows = [row for row in table.rows_ if row.calibrated_ms > 0]
        design = np.array([features(row.layer, row.shape) for row in rows])
        times = np.array([row.calibrated_ms for row in rows])
        scale = np.maximum(design.max(axis=0), 1.0)
        found = nnls(design / scale / times[:, None], np.ones(len(rows)))[0] / scale
        return cls(found if found.any() else np.array([0.0, 1e-7, 1e-7, 0.0, 0.0]))

    def __call__(self, arch: Arch) -> float:
        return float(sum(self.coefficients @ features(layer, shape) for layer, shape in arch.walk()))


def features(layer: Layer, shape: Shape) -> Floats:
    """Convolutions, multiply-adds of dense and of depthwise ones, output elements, weights; channels in whole blocks.

    Weights are read once an image, from memory where a network has many: on small images wide networks take longer by
    that than by their multiply-adds.
    """
    found = np.zeros(5)
    for conv in layer.convs(shape):
        seen = conv.in_channels // conv.groups
        places = conv.height * conv.width
        depthwise = conv.groups > 1 and seen == 1
        weights = _filled(conv.out_channels) * conv.taps * (1 if depthwise else _filled(seen))
        macs = weights * places
        elements = _filled(conv.out_channels) * places
        found += (1.0, 0.0 if depthwise else macs, macs if depthwise else 0.0, elements, weights)
    return found


def _filled(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK
