"""From probabilities to architectures: argmax, sampling, and the exact best choice under a latency budget."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from nas.seeding import numpy_generator
from search_spaces.additive import price
from search_spaces.space import Genotype

Rows = Sequence[NDArray[np.float64]]
How = Literal["budget", "argmax", "sample"]
HOWS = ("budget", "argmax", "sample")


def derive(
    probabilities: Rows,
    fixed: float,
    rows: Rows,
    limit: float | None,
    how: str,
    count: int,
    seed: int,
    use: float = 0.0,
) -> list[Genotype]:
    """`count` networks from the probabilities of a finished search, best first, none with a cost above `limit`.

    `how`: `budget` (exact, `best_under_budget`), `argmax` (one network; refused where it exceeds the limit) or `sample`
    (from P(theta), ordered by probability). `limit` None: no limit. `use`: the share of the limit (or of the largest
    cost, where that is smaller) that networks derived by `budget` cost at least, as long as there are such networks.
    """
    if not 0 <= use < 1:
        raise ValueError(f"use must be at least 0 and less than 1, got {use:g}")
    if how not in HOWS:
        raise ValueError(f"unknown way to derive {how!r}; one of {', '.join(HOWS)}")
    if count < 1:
        raise ValueError(f"count of networks to derive must be >= 1, got {count}")
    bound = np.inf if limit is None else limit
    if how == "budget":
        if limit is None or not use:
            return best_under_budget(probabilities, fixed, rows, bound, count)
        least = use * min(bound, reachable(fixed, rows)[1])
        found = best_under_budget(probabilities, fixed, rows, bound, count, least)
        if len(found) < count:  # then cheaper ones too
            cheaper = best_under_budget(probabilities, fixed, rows, bound, count)
            found += [genotype for genotype in cheaper if genotype not in found][: count - len(found)]
        return found
    if how == "sample":
        found = sample(probabilities, count, numpy_generator(seed, "derive"), fixed, rows, bound)
        return sorted(found, key=lambda genotype: -log_probability(probabilities, genotype))
    if count > 1:
        raise ValueError(f"argmax is a single network, {count} were asked; derive with how=budget or how=sample")
    genotype = argmax(probabilities)
    cost = float(price(np.array([genotype]), fixed, rows)[0])
    if cost > bound:
        raise ValueError(f"the argmax network takes {cost:.4g} ms, above the limit {bound:.4g} ms; use how=budget")
    return [genotype]


def log_probability(probabilities: Rows, genotype: Genotype) -> float:
    """`log P(genotype)`: positions are independent (FBNet section 3.2)."""
    return float(sum(np.log(max(row[gene], 1e-300)) for row, gene in zip(probabilities, genotype, strict=True)))


def reachable(fixed: float, rows: Rows) -> tuple[float, float]:
    """Smallest and largest additive cost in the space, summed as `price` sums, so that limits compare exactly."""
    extremes = np.array([[row.argmin() for row in rows], [row.argmax() for row in rows]])
    low, high = price(extremes, fixed, rows)
    return float(low), float(high)


def argmax(probabilities: Rows) -> Genotype:
    """The most probable candidate of every position."""
    return tuple(int(row.argmax()) for row in probabilities)


def sample(
    probabilities: Rows,
    count: int,
    rng: np.random.Generator,
    fixed: float = 0.0,
    rows: Rows | None = None,
    limit: float = np.inf,
    draws: int = 200_000,
) -> list[Genotype]:
    """Up to `count` distinct genotypes drawn from P(theta), the paper's final step; with `limit`, only those within it.

    Raises `ValueError` where none of `draws` draws is within the limit.
    """
    population = np.stack(
        [np.minimum(np.searchsorted(np.cumsum(p), rng.random(draws), side="right"), len(p) - 1) for p in probabilities],
        axis=1,
    )
    if rows is not None:
        population = population[price(population, fixed, rows) <= limit]
    if not len(population):
        raise ValueError(
            f"none of {draws} networks sampled from P(theta) has latency <= {limit:.4g} ms; derive with how=budget, "
            "which finds the best one within the budget"
        )
    _, first = np.unique(population, axis=0, return_index=True)
    return [tuple(int(g) for g in population[i]) for i in np.sort(first)[:count]]


def best_under_budget(
    probabilities: Rows, fixed: float, rows: Rows, limit: float, count: int = 1, least: float = -np.inf
) -> list[Genotype]:
    """The `count` most probable genotypes whose additive cost lies in `least..limit`, best first, exactly.

    maximise `sum_i log p_i[g_i]` subject to `least <= fixed + sum_i rows[i][g_i] <= limit`, as a 0-1 programme (HiGHS);
    each further one excludes those found. Raises `ValueError` with the reachable range where the limit is unreachable;
    gives fewer than `count` (with `least`, possibly none) only where no more genotypes lie there. `limit` holds to the
    last bit, `least` to the solver's 1e-6.
    """
    low, high = reachable(fixed, rows)
    if not limit >= low:
        raise ValueError(f"latency budget {limit:.4g} ms is out of reach; this space spans {low:.4g} to {high:.4g} ms")
    sizes = [len(row) for row in rows]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    width = int(offsets[-1])
    gain = np.concatenate([np.log(np.clip(p, 1e-300, None)) for p in probabilities])
    cost = np.concatenate(list(rows))
    one_each = csr_array(
        (np.ones(width), (np.repeat(np.arange(len(sizes)), sizes), np.arange(width))), shape=(len(sizes), width)
    )
    constraints = [LinearConstraint(one_each, 1, 1)]
    found: list[Genotype] = []
    room = limit - fixed
    while len(found) < count:
        unit = max(room, 1e-12) if np.isfinite(room) else float(cost.sum())
        solution = milp(
            -gain,
            integrality=np.ones(width),
            bounds=Bounds(0, 1),
            constraints=[*constraints, LinearConstraint(cost[None, :] / unit, (least - fixed) / unit, room / unit)],
            options={"mip_rel_gap": 0.0},
        )
        if solution.status == 2:  # infeasible: nothing is left within the limit
            break
        if solution.x is None:
            raise RuntimeError(f"the integer programme ended without an answer: {solution.message}")
        genotype = tuple(int(solution.x[a:b].argmax()) for a, b in itertools.pairwise(offsets))
        if price(np.array([genotype]), fixed, rows)[0] > limit:
            # the solver's tolerance let it through by less than 1e-6: tighten by that and ask again
            room *= 1 - 1e-6
            continue
        found.append(genotype)
        chosen = np.zeros(width)
        chosen[offsets[:-1] + np.array(genotype)] = 1
        constraints.append(LinearConstraint(chosen[None, :], -np.inf, len(sizes) - 1))
    if not found and least <= low:  # the limit is the minimum to the last bits, below what the solver can tell apart
        found.append(tuple(int(row.argmin()) for row in rows))
    return found
