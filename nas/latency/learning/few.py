"""A table from a handful of whole-network times: what is learned from them, and how far off it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nas.latency.device import Device
from nas.latency.learning.as_rows import as_rows
from nas.latency.learning.learn import Additive, learn
from nas.latency.learning.rates import Rates, Work, learn_rates
from nas.latency.tables.proof import MARGIN_QUANTILE, Errors, Proof
from nas.latency.tables.row import grain
from nas.latency.tables.table import LatencyTable
from search_spaces.pricing.additive import Floats
from search_spaces.space import LayerwiseSpace, Population, SearchSpace

LEAST = 5  # networks: fewer say nothing of an error
GAIN = 0.8  # of 1, 0.8, 0.6 and 0.4 the best on HELP's nine source devices, each in turn the new one
FOLDS = 40  # so many parts of the networks are left out in turn; of fewer networks each by itself
Fit = Callable[[Population, Floats], Additive | Rates]


def few_sample_table(
    space: SearchSpace, population: Population, times: Floats, sources: Sequence[LatencyTable], device: Device
) -> LatencyTable:
    """The table of `space` on `device` from the `times` (ms) of the genotypes in `population`.

    Times are explained by the work of layers and by `sources`, tables of other devices for the same space
    (`nas.latency.learning.rates`). Where choices stand at fixed places, a time for each of them is learned too
    (`nas.latency.learning.learn`), and taken where its leave-one-out error is at most `GAIN` of the other's. The proof
    is honest about that choice: every network is priced by what all of this, choice included, makes of the others. Its
    margin is the 90% quantile of measured over estimated time.

    A network that was timed several times counts once, with the median: the others would be priced by itself. Raises
    `ValueError` for spaces without layers, below `LEAST` networks, and for sources of other spaces.
    """
    given = len(times)
    population, times = _once(space, population, times)
    if len(times) < LEAST:
        raise ValueError(f"{len(times)} networks have a time; at least {LEAST} are needed")
    ways = ways_to_learn(space, sources)
    name, fit = best_fit(ways, population, times)
    if isinstance(fit, Rates):
        offset, rows, notes = fit.as_rows(space)
    else:
        assert isinstance(space, LayerwiseSpace)
        offset, rows, notes = as_rows(space, fit)
    estimates = _left_out(ways, population, times)
    errors = Errors.of(estimates, times)
    margin = max(0.0, float(np.quantile(times / estimates - 1, MARGIN_QUANTILE)))
    notes.append(
        f"each network was priced by what the other {len(times) - 1} taught: that is the proof; each has one time"
        + (f", the median of its own among {given}" if given > len(times) else "")
        + ", so its noise ceiling is unknown"
    )
    table = LatencyTable(
        space.name,
        device,
        rows,
        grain(offset),
        Proof(len(times), len(times), errors, errors, None, margin),
        {"model": name, "notes": notes, "sources": [source.device.key for source in sources]},
        tuple(
            {
                "arch": space.decode(genotype).id,
                "role": "held_out",
                "measured_ms": float(ms),
                "spread_ms": 0.0,
                "raw_ms": float(estimate),
                "estimate_ms": float(estimate),
            }
            for genotype, ms, estimate in zip(population.tolist(), times, estimates, strict=True)
        ),
    )
    return table


def _once(space: SearchSpace, population: Population, times: Floats) -> tuple[Population, Floats]:
    """The different networks of `population`, in their order, each with the median of its `times`."""
    found: dict[str, list[int]] = {}
    for i, genotype in enumerate(population.tolist()):
        found.setdefault(space.decode(genotype).id, []).append(i)
    rows = list(found.values())
    return population[[own[0] for own in rows]], np.array([np.median(times[own]) for own in rows])


def ways_to_learn(space: SearchSpace, sources: Sequence[LatencyTable]) -> dict[str, Fit]:
    """By name; the first is taken unless another is better by far."""
    work = Work.of(space, [source.price_ms for source in sources])
    name = "learned from whole networks as rates of work"
    name += f" and of {len(sources)} tables of other devices" if sources else ""
    ways: dict[str, Fit] = {name: lambda genes, ms: learn_rates(work, genes, ms)}
    if isinstance(space, LayerwiseSpace):
        ways["learned from whole networks"] = lambda genes, ms: learn(space, genes, ms, robust=False)
    return ways


def best_fit(ways: dict[str, Fit], population: Population, times: Floats) -> tuple[str, Additive | Rates]:
    """The name of one of `ways` and its fit: the first, or where others have at most `GAIN` of its error the best."""
    fits = [(name, fit(population, times)) for name, fit in ways.items()]
    first, *others = fits
    better = [other for other in others if other[1].left_out <= GAIN * first[1].left_out]
    return min(better or [first], key=lambda item: item[1].left_out)


def _left_out(ways: dict[str, Fit], population: Population, times: Floats) -> Floats:
    """What each network is priced at by the others."""
    estimates = np.empty(len(times))
    parts = np.arange(len(times)) % min(len(times), FOLDS)
    for part in range(parts.max() + 1):
        out = parts == part
        _, fit = best_fit(ways, population[~out], times[~out])
        estimates[out] = fit.predict(population[out])
    least = 0.01 * float(times.min())  # a line through few points may fall below zero
    return np.maximum(estimates, least)
