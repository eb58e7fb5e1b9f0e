"""How well scores rank networks, with how much of that is chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictors.metrics import kendall_tau


def tau_with_interval(scores: Sequence[float], truth: Sequence[float], draws: int = 2000) -> str:
    """Kendall's tau, and its 95% bootstrap interval over networks."""
    rng, a, b = np.random.default_rng(0), np.array(scores), np.array(truth)
    drawn = [kendall_tau(a[rows], b[rows]) for rows in rng.integers(len(a), size=(draws, len(a)))]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return f"{kendall_tau(a, b):.2f} ({low:.2f} to {high:.2f})"
