"""The most probable genotypes within a budget, exactly: an integer programme."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from search_spaces.additive import AdditiveCost, merged_tables
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

    maximise `sum_v log p_v[g_v]` subject to `least <= fixed + sum_t tables_t[g] <= limit`, as a 0-1 programme (HiGHS):
    a binary x[v, k] per choice and, per term of several variables, a weight y[t, a, b, ...] >= 0 per combination whose
    sums over all variables but one are that variable's x, so that y is the one combination that x chose. Each further
    genotype excludes those found. Entries of infinite cost are no choice: the solver never sees one.
    Raises `ValueError` with the reachable range where the limit (ms) is unreachable; gives fewer than `count` (with
    `least`, possibly none) only where no more genotypes lie there. `limit` holds to the last bit, `least` to the
    solver's 1e-6.
    """
    low, high = cost.reachable()
    if not limit >= low:
        raise ValueError(f"latency budget {limit:.4g} ms is out of reach; this space spans {low:.4g} to {high:.4g} ms")
    tables = merged_tables(cost)
    sizes = np.array(cost.cardinalities)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    binaries = int(offsets[-1])
    total = binaries + sum(table.size for table in tables.values())
    price, possible = np.zeros(total), np.ones(total)
    rows, columns, values, bounds = _one_each(sizes, offsets)
    start = binaries
    for variables, table in tables.items():
        first = int(offsets[variables[0]]) if len(variables) == 1 else start
        cells = slice(first, first + table.size)
        price[cells] += np.where(np.isfinite(table), table, 0.0).ravel()
        possible[cells] *= np.isfinite(table).ravel()
        if len(variables) > 1:
            index = np.arange(table.size).reshape(table.shape)
            for axis, v in enumerate(variables):
                marginals = np.moveaxis(index, axis, 0).reshape(table.shape[axis], -1)
                for k, members in enumerate(marginals):
                    row = len(bounds)
                    rows += [row] * (len(members) + 1)
                    columns += [*(start + members).tolist(), int(offsets[v]) + k]
                    values += [1.0] * len(members) + [-1.0]
                    bounds.append(0.0)
        start += table.size
    matrix = coo_array((values, (rows, columns)), shape=(len(bounds), total)).tocsr()
    gain = np.zeros(total)
    gain[:binaries] = np.concatenate([np.log(np.clip(p, 1e-300, None)) for p in probabilities])
    constraints = [LinearConstraint(matrix, bounds, bounds)]
    integrality = np.zeros(total)
    integrality[:binaries] = 1
    found: list[Genotype] = []
    room = limit - cost.fixed
    while len(found) < count:
        unit = max(room, 1e-12) if np.isfinite(room) else max(float(np.abs(price).sum()), 1e-12)
        solution = milp(
            -gain,
            integrality=integrality,
            bounds=Bounds(0, possible),
            constraints=[
                *constraints,
                LinearConstraint(price[None, :] / unit, (least - cost.fixed) / unit, room / unit),
            ],
            options={"mip_rel_gap": 0.0},
        )
        if solution.status == 2:  # infeasible: nothing is left within the limit
            break
        if solution.x is None:
            raise RuntimeError(f"the integer programme ended without an answer: {solution.message}")
        chosen = solution.x[:binaries]
        genotype = tuple(int(chosen[a : a + n].argmax()) for a, n in zip(offsets[:-1], sizes, strict=True))
        if cost(np.array([genotype]))[0] > limit:
            room -= TIGHTER * abs(room)
            continue
        found.append(genotype)
        taken = np.zeros(total)
        taken[offsets[:-1] + np.array(genotype)] = 1
        constraints.append(LinearConstraint(taken[None, :], -np.inf, len(sizes) - 1))
    if not found and least <= low:  # the limit is the minimum to the last bits, below what the solver can tell apart
        found.append(cost.cheapest())
    return found


def _one_each(
    sizes: NDArray[np.int64], offsets: NDArray[np.int64]
) -> tuple[list[int], list[int], list[float], list[float]]:
    """Rows, columns and values of `sum_k x[v, k] = 1` for every variable, and the right-hand sides."""
    rows = np.repeat(np.arange(len(sizes)), sizes).tolist()
    return rows, list(range(int(offsets[-1]))), [1.0] * int(offsets[-1]), [1.0] * len(sizes)
