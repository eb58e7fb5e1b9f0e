"""What a finished search hands over: a measured network within the budget, as `arch.json`, and its probabilities."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.derivation import Rows, derive
from nas.files import read_json, write_json, write_text
from nas.latency.device import Device
from nas.latency.fresh import measure_arch_fresh_ms
from nas.methods.base import SearchResult
from nas.problem import Budget
from nas.progress import log, phase
from search_spaces.additive import AdditiveCost
from search_spaces.arch import Arch
from search_spaces.space import Genotype, Population, SearchSpace, Variable


@dataclass(frozen=True)
class Derived:
    """Derived networks, best first, and the latency of the first, estimated and measured (milliseconds).

    `rounds` is how often a network had to be derived before its measurement agreed with the budget.
    """

    genotypes: tuple[Genotype, ...]
    estimated_ms: float
    measured_ms: float
    rounds: int

    @property
    def genotype(self) -> Genotype:
        return self.genotypes[0]


def derive_and_measure(
    folder: Path,
    space: SearchSpace,
    result: SearchResult,
    cost: AdditiveCost,
    budget: Budget | None,
    device: Device,
    how: str,
    use: float,
    count: int,
    tolerance: float,
    rounds: int,
    seed: int,
) -> Derived:
    """Derive, measure the first network on the device, and derive again where it proves too slow.

    A network measured above `budget * (1 + tolerance)` is derived again with the limit lowered by the excess, `rounds`
    times at most; the fastest one seen is kept. The outcome is stored in `derived.json`, which a resumed run reads.
    """
    stored = _stored(folder, space)
    if stored is not None:
        return stored
    limit = budget.limit_ms if budget else None
    best: Derived | None = None
    with phase("deriving and measuring", None, "network") as advance:  # often the first one is good
        for attempt in range(1, rounds + 1 if budget else 2):
            genotypes = tuple(derive(result.probabilities, cost, limit, how, count, seed, use))
            estimated = float(cost(np.array(genotypes[:1]))[0])
            measured = measure_arch_fresh_ms(space.decode(genotypes[0]), device, seed)
            advance(1, f"{measured:.4g} ms measured, {estimated:.4g} ms estimated")
            found = Derived(genotypes, estimated, measured, attempt)
            if best is None or found.measured_ms < best.measured_ms:
                best = found
            if budget is None or measured <= budget.asked_ms * (1 + tolerance):
                break
            assert limit is not None
            tighter = max(budget.low_ms, limit * budget.asked_ms / measured)
            if tighter >= limit:
                break
            log(f"measured {measured:.4g} ms for a budget of {budget.asked_ms:.4g} ms: deriving below {tighter:.4g} ms")
            limit = tighter
    assert best is not None
    return _store(folder, best)


def measure_ranked(
    folder: Path,
    space: SearchSpace,
    ranked: Population,
    cost: AdditiveCost,
    budget: Budget | None,
    device: Device,
    count: int,
    tolerance: float,
    rounds: int,
    seed: int,
) -> Derived:
    """The best of `ranked` (n, genes; best first) that also proves fast enough when measured, and the next `count - 1`.

    One measured above `budget * (1 + tolerance)` gives way to the next whose estimate lies below the limit lowered by
    the excess; `rounds` are measured at most, and the fastest one seen is kept where none is fast enough. The outcome
    is stored in `derived.json`, which a resumed run reads.
    """
    stored = _stored(folder, space)
    if stored is not None:
        return stored
    estimates = cost(ranked)
    limit = budget.limit_ms if budget else np.inf
    best: Derived | None = None
    tried: set[int] = set()
    with phase("measuring the best", None, "network") as advance:
        for attempt in range(1, rounds + 1 if budget else 2):
            open_ = [int(i) for i in np.flatnonzero(estimates <= limit) if i not in tried]
            if not open_:
                break
            chosen = open_[0]
            tried.add(chosen)
            measured = measure_arch_fresh_ms(space.decode(ranked[chosen]), device, seed)
            advance(1, f"{measured:.4g} ms measured, {estimates[chosen]:.4g} ms estimated")
            genotypes = tuple(tuple(int(g) for g in ranked[i]) for i in open_[:count])
            found = Derived(genotypes, float(estimates[chosen]), measured, attempt)
            if best is None or found.measured_ms < best.measured_ms:
                best = found
            if budget is None or measured <= budget.asked_ms * (1 + tolerance):
                break
            limit = min(limit, estimates[chosen]) * budget.asked_ms / measured
            log(f"measured {measured:.4g} ms for a budget of {budget.asked_ms:.4g} ms: next below {limit:.4g} ms")
    if best is None:
        low, high = float(estimates.min()), float(estimates.max())
        raise ValueError(
            f"no trained candidate is estimated within {limit:.4g} ms; they span {low:.4g} to {high:.4g} ms"
        )
    return _store(folder, best)


def _stored(folder: Path, space: SearchSpace) -> Derived | None:
    path = folder / "derived.json"
    if not path.exists():
        return None
    stored = read_json(path, "derived networks")
    try:
        genotypes = tuple(space.check(genotype) for genotype in stored["genotypes"])
        return Derived(genotypes, stored["estimated_ms"], stored["measured_ms"], stored["rounds"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not hold derived networks: {error!r}; remove it to derive again") from None


def _store(folder: Path, found: Derived) -> Derived:
    write_json(folder / "derived.json", {**asdict(found), "genotypes": [list(g) for g in found.genotypes]})
    return found


def write_archs(folder: Path, space: SearchSpace, genotypes: tuple[Genotype, ...]) -> list[Path]:
    """`arch.json` for the first network, `arch-2.json`... for further ones."""
    paths = []
    for i, genotype in enumerate(genotypes, start=1):
        name = "arch.json" if i == 1 else f"arch-{i}.json"
        paths.append(write_text(folder / name, space.decode(genotype).to_json()))
    return paths


def write_probabilities(folder: Path, space: SearchSpace, probabilities: Rows, decided: Genotype | None = None) -> Path:
    """`theta.json`: P(choice) of each variable, and `decided`, the network the search itself decides (or null)."""
    positions = [
        {"name": variable.name, "labels": _labels(variable), "probabilities": [float(p) for p in row]}
        for variable, row in zip(space.variables, probabilities, strict=True)
    ]
    return write_json(folder / "theta.json", {"space": _first(space).id, "positions": positions, "decided": decided})


def read_probabilities(folder: Path, space: SearchSpace) -> tuple[np.ndarray, ...]:
    """The probabilities that `write_probabilities` stored, checked against `space`."""
    path = folder / "theta.json"
    data: dict[str, Any] = read_json(path, "search outcome (theta.json)")
    positions = data.get("positions")
    if not isinstance(positions, list) or len(positions) != len(space.variables):
        raise ValueError(f"{path} is not the outcome of a search of {space.name}")
    rows = []
    for stored, variable in zip(positions, space.variables, strict=True):
        row = np.array(stored.get("probabilities"), dtype=np.float64)
        if stored.get("labels") != _labels(variable) or row.shape != (len(variable),):
            raise ValueError(f"{path}: position {variable.name} does not fit {space.name}")
        rows.append(row)
    return tuple(rows)


def read_decided(folder: Path, space: SearchSpace) -> Genotype | None:
    """The network that the search itself decided, from `theta.json`; None where its method decides none."""
    path = folder / "theta.json"
    decided = read_json(path, "search outcome (theta.json)").get("decided")
    try:
        return None if decided is None else space.check(decided)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: its decided network does not fit {space.name}: {error}") from None


def _labels(variable: Variable) -> list[str]:
    return [str(choice) for choice in variable.choices]


def _first(space: SearchSpace) -> Arch:
    return space.decode((0,) * len(space.variables))
