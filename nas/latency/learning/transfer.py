"""A table for a new device from a handful of its whole-network times and the tables of other devices.

The new device's row effects are modelled as a weighted sum of the other devices' rows and of the work each candidate
does, plus small deviations. Weights of the sources are shrunk to zero, so that a device unlike all others falls back on
its own few times and on the work done.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.latency.learning.learn import Additive, Basis, fit_additive, shared_rows, work
from search_spaces.pricing.additive import Floats
from search_spaces.space import LayerwiseSpace, Population

# Prior standard deviations, chosen once on the meta-training devices of the experiment `help_fbnet_few_shot`.
SOURCE, WORK, OWN = 0.3, 0.1, 0.03
NOISE = 0.3


def transfer_options(
    space: LayerwiseSpace, sources: Sequence[Additive], stds: Sequence[tuple[float, float, float]]
) -> list[list[Basis]]:
    """One prior per (source, work, own) triple of standard deviations."""
    shared, known = shared_rows(space), work(space)
    effects = np.column_stack([_standardised(np.concatenate(source.rows_ms), space) for source in sources])
    return [[(effects, source), (known, done), (shared, own)] for source, done, own in stds]


def transfer(
    space: LayerwiseSpace,
    population: Population,
    times: Floats,
    sources: Sequence[Additive],
    *,
    stds: Sequence[tuple[float, float, float]] = ((SOURCE, WORK, OWN),),
    noises: Sequence[float] = (NOISE,),
) -> Additive:
    """An additive cost of `space` on a new device, from `times` (ms) of a few genotypes and other devices' costs.

    About ten genotypes that span the space do. Raises `ValueError` without sources or below three networks.
    """
    if not sources:
        raise ValueError("transfer needs at least one other device's table; without any, use learn")
    options = transfer_options(space, sources, stds)
    return fit_additive(population, times, space.cardinalities.tolist(), options, noises, robust=False)


def _standardised(effects: Floats, space: LayerwiseSpace) -> Floats:
    """Row effects, centred per position and scaled so that a uniformly drawn network varies by one."""
    parts = np.split(effects, np.cumsum(space.cardinalities)[:-1])
    parts = [part - part.mean() for part in parts]
    return np.concatenate(parts) / max(np.sqrt(sum(float((part**2).mean()) for part in parts)), 1e-12)
