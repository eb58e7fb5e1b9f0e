"""How long sample networks must train: the earliest epoch that already ranks them as the last one does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from predictors.base import Floats
from predictors.metrics import Metric, spearman

THRESHOLD = 0.92
FEWEST = 8  # candidates below which a rank correlation says little


@dataclass(frozen=True)
class StoppingRule:
    """Train later candidates for `epochs`; `correlations[e]`: rank correlation of epoch e + 1 with the last."""

    epochs: int
    correlations: tuple[float, ...]


def stopping_rule(
    accuracies: Floats, threshold: float = THRESHOLD, window: int = 1, metric: Metric = spearman
) -> StoppingRule:
    """The rule from curves of a first batch trained in full (FBNetV3, arXiv 2006.02049, section 3).

    `accuracies`: (candidates, epochs), higher is better. An epoch's ranking is that of the mean of its last `window`
    epochs, which calms noisy curves; the final ranking is the last epoch's.
    Departure: from the epoch chosen on, *every* epoch must reach the threshold; the paper takes the first that does,
    which one lucky early epoch can be.
    Raises `ValueError` for fewer than `FEWEST` candidates, a threshold outside (0, 1], or curves that are not finite.
    """
    curves = np.asarray(accuracies, dtype=np.float64)
    if curves.ndim != 2 or curves.shape[0] < FEWEST or curves.shape[1] < 1:
        raise ValueError(
            f"a stopping rule needs curves (candidates, epochs) of at least {FEWEST} candidates, got {curves.shape}"
        )
    if not np.isfinite(curves).all():
        row, epoch = np.argwhere(~np.isfinite(curves))[0]
        raise ValueError(f"candidate {row} has accuracy {curves[row, epoch]} after epoch {epoch + 1}; leave it out")
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold must lie in (0, 1], got {threshold:g}")
    if not 1 <= window <= curves.shape[1]:
        raise ValueError(f"the window must lie between 1 and the {curves.shape[1]} epochs, got {window}")
    final = curves[:, -1]
    if np.ptp(final) == 0:
        raise ValueError("all candidates end with the same accuracy, so there is no ranking to keep; train longer")
    sums = np.cumsum(np.pad(curves, ((0, 0), (1, 0))), axis=1)
    ends = np.arange(1, curves.shape[1] + 1)
    starts = np.maximum(ends - window, 0)
    means = (sums[:, ends] - sums[:, starts]) / (ends - starts)
    means[:, -1] = final  # the last ranking is what it is
    correlations = np.array([metric(means[:, epoch], final) for epoch in range(curves.shape[1])])
    below = np.flatnonzero(correlations < threshold - 1e-12)
    return StoppingRule(int(below[-1]) + 2 if len(below) else 1, tuple(correlations.tolist()))
