"""Signs that a search by gradient decides something else than it should: see `nas.runs.keeping.collapse`.

sign                                                       threshold
blocks are skipped: their mean probability of that         at least `SKIPPED`, behind the warm-up
choices decided early: their normalised entropy            below `DECIDED`, in the first `EARLY` of the epochs
                                                           that teach them
expected latency off the limit: their ratio                beyond `DRIFT` or below its inverse, in the last half of
                                                           these epochs
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from nas.methods.base import Task
from search_spaces.space import LayerwiseSpace, SearchSpace

SKIPPED, DECIDED, EARLY, DRIFT = 0.9, 0.02, 0.25, 1.5


def skip_share(space: SearchSpace, probabilities: Sequence[np.ndarray]) -> float | None:
    """The mean probability of executing nothing, over the positions of a layer-wise `space` that may; None without."""
    if not isinstance(space, LayerwiseSpace):
        return None
    shares = []
    for position, row in zip(space.positions, probabilities, strict=True):
        skips = [layer.is_identity(position.shape) for layer in position.candidates]
        if any(skips):
            shares.append(float(row[np.array(skips)].sum()))
    return float(np.mean(shares)) if shares else None


def signs(
    task: Task, epoch: int, taught: float, record: Mapping[str, float], probabilities: Sequence[np.ndarray]
) -> Iterator[tuple[str, str]]:
    """The kind and the words of every sign behind `epoch` (from 0); `taught`: share of the epochs that teach choices.

    `record`: its `normalised_entropy` and `expected_latency_ms`.
    """
    if taught <= 0:
        return
    when = f"behind epoch {epoch + 1}"
    skipped = skip_share(task.space, probabilities)
    if skipped is not None and skipped >= SKIPPED:
        yield "skips", f"{when} blocks that may be skipped are skipped with a mean probability of {skipped:.2f}"
    entropy = record["normalised_entropy"]
    if entropy < DECIDED and taught <= EARLY:
        yield "entropy", f"{when} the choices are decided already: {entropy:.3f} of their entropy is left"
    expected, limit = record["expected_latency_ms"], task.limit_ms
    if limit is not None and taught > 0.5 and not 1 / DRIFT <= expected / limit <= DRIFT:
        yield "latency", f"{when} the expected latency is {expected:.4g} ms, the limit {limit:.4g} ms"
