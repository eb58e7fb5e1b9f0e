"""How much the workloads of a table feel of what slows the references beside them.

A reference stands beside workloads of its size, but what slows it need not slow them as much: weights that stream from
memory suffer from a neighbour that streams too, arithmetic does not. On a machine that is not quite calm a reference of
six million numbers was seen to take 1.4 times its time where networks beside it took 1.14 times theirs; a ratio taken
at its word makes such networks a fifth too quick, against others that stand beside another reference.

A table's visits tell. With `x` and `r` the times of workload and reference, and the mean over all workloads beside one
reference in one pass `t` of a process,

    e_t = mean of log x_v - median over the workload's visits,    d_t likewise of log r_v,    e_t = elasticity * d_t

in least squares over all passes. A mean over many workloads leaves little of the noise of single visits, which would
draw the elasticity to zero. Before anything is seen it is 1, and what is seen must weigh against that: passes that
differ by no more than `LEAST` in time say next to nothing of a machine that is slower all the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nas.latency.measuring.visits import Visits

PRIOR = 0.5  # standard deviation of elasticities around 1, before anything is seen
LEAST = 0.02  # of a pass's time: what its mean is off by at the least


def elasticities(visits: Visits, rungs: Mapping[str, str]) -> dict[str, float]:
    """The elasticity of the workloads beside each reference, from 0 to 1; `rungs`: which one stood beside each."""
    passes: dict[str, dict[int, list[list[float]]]] = {rung: {} for rung in set(rungs.values())}
    for key, turns in visits.items():
        order = sorted(turns)
        logs = np.log([(turns[turn].ms, turns[turn].reference_ms) for turn in order])
        for turn, pair in zip(order, (logs - np.median(logs, axis=0)).tolist(), strict=True):
            passes[rungs[key]].setdefault(turn, []).append(pair)
    return {rung: elasticity([np.mean(pairs, axis=0) for pairs in seen.values()]) for rung, seen in passes.items()}


def elasticity(passes: Sequence[Sequence[float]]) -> float:
    """The slope of `e_t` over `d_t`, from 0 to 1, where every one of `passes` has seen these two."""
    if len(passes) < 3:
        return 1.0
    slower, reference = (np.array(passes) - np.mean(passes, axis=0)).T
    squares, product = float(reference @ reference), float(slower @ reference)
    left = slower - product / max(squares, 1e-12) * reference
    noise = max(float(left @ left) / (len(passes) - 2), LEAST**2)
    return min(max((product / noise + PRIOR**-2) / (squares / noise + PRIOR**-2), 0.0), 1.0)
