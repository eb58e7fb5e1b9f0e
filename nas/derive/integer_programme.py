"""The most probable genotypes within a budget, exactly: an integer programme."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint

from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.integer_programme import GenotypeProgramme
from search_spaces.space import Genotype

TIGHTER = 1e-6  # the solver's tolerance, by which a limit is tightened where it let a genotype through


def best_under_budget(
    probabilities: Sequence[NDArray[np.float64]],
    cost: AdditiveCost,
    limit: float,
    count: int = 1,
    least: float = -np.inf,
) -> list[Genotype]:
    """The `count` most probable genotypes with `least <= cost(g) <= limit`, best first, exactly; genes are independent.

    maximise `sum_v log p_v[g_v]` subject to `least <= fixed + sum_t tables_t[g] <= limit`, as a `GenotypeProgramme`.
    Each further genotype excludes those found.
    Raises `ValueError` with the reachable range where the limit (ms) is unreachable; gives fewer than `count` (with
    `least`, possibly none) only where no more genotypes lie there. `limit` holds to the last bit, `least` to the
    solver's 1e-6.
    """
    low, high = cost.reachable()
    if not limit >= low:
        raise ValueError(f"latency budget {limit:.4g} ms is out of reach; this space spans {low:.4g} to {high:.4g} ms")
    programme = GenotypeProgramme([cost])
    price = programme.prices[0]
    gain = np.zeros(programme.width)
    gain[: programme.choices] = np.concatenate([np.log(np.clip(p, 1e-300, None)) for p in probabilities])
    cuts: list[LinearConstraint] = []
    found: list[Genotype] = []
    room = limit - cost.fixed
    while len(found) < count:
        unit = max(room, 1e-12) if np.isfinite(room) else max(float(np.abs(price).sum()), 1e-12)
        within = LinearConstraint(price[None, :] / unit, (least - cost.fixed) / unit, room / unit)
        genotype = programme.minimise(-gain, [*cuts, within])
        if genotype is None:  # nothing is left within the limit
            break
        if cost(np.array([genotype]))[0] > limit:
            room -= TIGHTER * abs(room)
            continue
        found.append(genotype)
        cuts.append(programme.excluding(genotype))
    if not found and least <= low:  # the limit is the minimum to the last bits, below what the solver can tell apart
        found.append(cost.cheapest())
    return found
