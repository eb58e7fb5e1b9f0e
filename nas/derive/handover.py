"""What a finished search hands over: networks within the budget, as `arch.json`, and its probabilities."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.derive.budget import Budget
from nas.derive.most_probable import SINGLE, Derivation, NothingWithin, Rows, derive
from nas.derive.verdict import Asked
from nas.derive.within_budget import Clock, Derived, Propose, Timed, within_budget
from nas.latency.devices import TargetDevice
from nas.latency.kits.known_times import read_known
from nas.latency.measuring.network_time import NetworkTime
from nas.latency.tables.table import LatencyTable
from nas.runs.files import write_json, write_text
from nas.runs.stored import Schema, read_record, record
from nas.terminal.progress import log
from search_spaces.arch import Arch
from search_spaces.plain_data import identity
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.genotype_cost import GenotypeCost
from search_spaces.space import Genotype, Population, SearchSpace, Variable
from search_spaces.wrappers.distance import canonical, distance

Measure = Callable[[Arch], NetworkTime | None]
"""From a network to its time; None where it is not known yet."""


def clock_of(space: SearchSpace, cost: AdditiveCost | None, measure: Measure | None) -> Clock:
    """A search's clock: estimates by `cost`, measurements by `measure` (None: none)."""
    estimate = None if cost is None else lambda genotype: float(cost(np.array([genotype]))[0])
    return Clock(estimate, None if measure is None else lambda genotype: measure(space.decode(genotype)))


def measure_of(device: TargetDevice, table: LatencyTable, run: Path, seed: int) -> Measure | None:
    """How networks of `run` get their times: `device` measures them as it did those of `table`, in an order of `seed`.

    Where it does not, they have the times that were brought back from it (see `known_times`); None where none were.
    """
    if device.not_measured(table) is None:
        return lambda arch: device.measure([arch], table, seed)[0]
    known = read_known(run, device.key)
    return (lambda arch: known[arch.id].time if arch.id in known else None) if known else None


def derive_probable(
    probabilities: Rows,
    decided: Genotype | None,
    cost: AdditiveCost,
    clock: Clock,
    budgets: Asked,
    asked: Derivation,
) -> Derived:
    """Networks from the probabilities of a supernet, or the one it `decided`, that prove to be within the budget."""

    def propose(limit: float, count: int) -> list[Genotype]:
        bound = limit if np.isfinite(limit) else None
        return derive(probabilities, cost, bound, dataclasses.replace(asked, count=count), decided, budgets.others)

    rounds = 1 if asked.mode in SINGLE else asked.rounds
    return within_budget(propose, clock, budgets.latency, asked.count, rounds, asked.apart)


def derive_ranked(
    ranked: Population,
    cost: AdditiveCost | None,
    clock: Clock,
    budget: Budget | None,
    asked: Derivation,
    space: SearchSpace | None = None,
) -> Derived:
    """The first of `ranked` (n, genes; best first) that prove to be within the budget.

    Where the derivation asks for a distance, `space` says in how many choices two of them differ.
    """
    if asked.distance <= 1:
        return within_budget(propose_ranked(ranked, cost), clock, budget, asked.count, asked.rounds)
    assert space is not None
    own = {genotype: canonical(space, genotype) for genotype in map(tuple, ranked.tolist())}

    def differ(one: Genotype, other: Genotype) -> bool:
        return distance(own[one], own[other]) >= asked.distance

    def propose(limit: float, count: int) -> Sequence[Genotype]:  # near copies are passed over
        return propose_ranked(ranked, cost)(limit, len(ranked))

    return within_budget(propose, clock, budget, asked.count, asked.rounds, differ)


def propose_ranked(ranked: Population, cost: AdditiveCost | None) -> Propose:
    """Proposes the genotypes of `ranked` in their order."""
    estimates = np.zeros(len(ranked)) if cost is None else cost(ranked)

    def propose(limit: float, count: int) -> list[Genotype]:
        within = ranked[estimates <= limit][:count]
        if not len(ranked):
            raise NothingWithin("no trained candidate is within the budgets")
        if not len(within):
            low, high = float(estimates.min()), float(estimates.max())
            raise NothingWithin(
                f"no trained candidate is estimated within {limit:.4g} ms; they span {low:.4g} to {high:.4g} ms"
            )
        return [tuple(genotype) for genotype in within.tolist()]

    return propose


# -- derived.json: what was derived and measured in a run, for its continuation

NUMBERED = re.compile(r"arch-\d+\.json")
STORED = {"networks": list[dict], "rounds": int, "identity": dict, "digest": str}
TIMED: Schema = {
    "genotype": list[int],
    **dict.fromkeys(("estimated_ms", "measured_ms", "now_ms"), float | None),
    "note": str,
    "error": float,
}
BEFORE = {"now_ms": None, "note": "", "error": 0.0}  # of networks derived before these were kept


def derivation_identity(
    result: Any,
    space: SearchSpace,
    cost: AdditiveCost | None,
    device: TargetDevice | None,
    budgets: Asked,
    asked: Derivation,
) -> dict[str, Any]:
    """All that derived networks depend on. `result`: what the search found, as plain values.

    `device`: whose times they are (None: none). Whether this machine could measure them is not part of it: measured
    once, on the device, they stay measured where the run goes on elsewhere.
    """
    return {
        "result": identity.digest(result),
        "space": identity.digest([_first(space).id, [[v.name, _labels(v)] for v in space.variables]]),
        "cost": None if cost is None else cost_digest(cost),
        "device": None if device is None else str(device.key),
        "budget": None if budgets.latency is None else dataclasses.asdict(budgets.latency),
        **{limit.name: [limit.limit, cost_digest(limit.cost)] for limit in budgets.others},
        **_asked(asked),
    }


def _asked(asked: Derivation) -> dict[str, Any]:
    """As it enters an identity: a distance only where there is one, as before there was any."""
    known = {name: value for name, value in vars(asked).items() if name != "silent"}
    if asked.silent is not None and asked.count > 1:  # before, twins were told apart by genes that say nothing
        known["apart_by"] = "genes that say something"
    return known if asked.distance > 1 else {name: value for name, value in known.items() if name != "distance"}


def cost_digest(cost: GenotypeCost) -> str:
    """A digest of every figure of `cost`."""
    tables = [hashlib.sha256(np.ascontiguousarray(table).tobytes()).hexdigest() for table in cost.tables]
    return identity.digest([cost.fixed, [list(variables) for variables in cost.variables], tables])


def rounded(probabilities: Rows, decided: Genotype | None) -> list[Any]:
    """A supernet's result as it enters an identity: the last bits of probabilities differ between machines."""
    return [[[round(float(p), 6) for p in row] for row in probabilities], decided]


def derived_once(
    folder: Path, space: SearchSpace, depends: Mapping[str, Any], derive_now: Callable[[], Derived]
) -> Derived:
    """What `folder`/derived.json holds if it is the outcome of the same derivation, else that of `derive_now`, stored.

    Networks derived from something else are derived anew, and what differs is said. Raises `ValueError` for a damaged
    file.
    """
    path = folder / "derived.json"
    if path.exists():
        stored, known = _read_derived(path, space)
        differing = identity.differences(known, depends)
        if not differing:
            return stored
        log(f"{path} was derived from something else ({'; '.join(differing[:3])}): deriving anew")
    return derived_now(folder, depends, derive_now)


def derived_now(folder: Path, depends: Mapping[str, Any], derive_now: Callable[[], Derived]) -> Derived:
    """The outcome of `derive_now`; it takes the place of what `folder`/derived.json held."""
    found = derive_now()
    networks = [{**dataclasses.asdict(network), "genotype": list(network.genotype)} for network in found.networks]
    content = {"networks": networks, "rounds": found.rounds, "identity": dict(depends)}
    write_json(folder / "derived.json", {**content, "digest": identity.digest(content)})
    return found


def _read_derived(path: Path, space: SearchSpace) -> tuple[Derived, dict[str, Any]]:
    try:
        stored = read_record(path, "derived networks", STORED)
        if stored.pop("digest") != identity.digest(stored):
            raise ValueError("its content does not match its digest")
        networks = [record({**BEFORE, **network}, TIMED, "a network") for network in stored["networks"]]
        timed = (Timed(**{**network, "genotype": space.check(network["genotype"])}) for network in networks)
        return Derived(tuple(timed), stored["rounds"]), stored["identity"]
    except ValueError as error:
        raise ValueError(f"{path} does not hold derived networks: {error}; remove it to derive again") from None


def write_archs(folder: Path, space: SearchSpace, genotypes: tuple[Genotype, ...]) -> list[Path]:
    """`arch.json` for the first network, `arch-2.json`... for further ones; those beyond are of a former derivation."""
    paths = []
    for i, genotype in enumerate(genotypes, start=1):
        name = "arch.json" if i == 1 else f"arch-{i}.json"
        paths.append(write_text(folder / name, space.decode(genotype).to_json()))
    for path in set(folder.glob("arch-*.json")) - set(paths):
        if NUMBERED.fullmatch(path.name):
            path.unlink()
    return paths


def write_probabilities(folder: Path, space: SearchSpace, probabilities: Rows, decided: Genotype | None = None) -> Path:
    """`theta.json`: P(choice) of each variable, and `decided`, the network the search itself decides (or null)."""
    positions = [
        {"name": variable.name, "labels": _labels(variable), "probabilities": [float(p) for p in row]}
        for variable, row in zip(space.variables, probabilities, strict=True)
    ]
    return write_json(folder / "theta.json", {"space": _first(space).id, "positions": positions, "decided": decided})


def read_theta(folder: Path) -> dict[str, Any]:
    """`theta.json` as it was written. Raises `ValueError` where a field is missing or holds something else."""
    path = folder / "theta.json"
    schema: Schema = {"space": str, "positions": list[dict], "decided": list[int] | None}
    found = read_record(path, "search outcome", schema)
    for position in found["positions"]:
        schema = {"name": str, "labels": list[str], "probabilities": list[float]}
        position |= record(position, schema, f"search outcome {path}: a position")
        row = np.array(position["probabilities"])
        if len(row) != len(position["labels"]) or not (row >= 0).all() or not abs(row.sum() - 1) < 1e-6:
            raise ValueError(f"{path}: the probabilities of {position['name']} are none of its labels; search again")
    return found


def read_probabilities(folder: Path, space: SearchSpace) -> tuple[np.ndarray, ...]:
    """The probabilities that `write_probabilities` stored, checked against `space`."""
    path, theta = folder / "theta.json", read_theta(folder)
    positions = theta["positions"]
    if len(positions) != len(space.variables) or theta["space"] != _first(space).id:
        raise ValueError(f"{path} is not the outcome of a search of {space.name} as {folder}/config.yaml has it")
    for stored, variable in zip(positions, space.variables, strict=True):
        if stored["labels"] != _labels(variable):
            raise ValueError(f"{path}: position {variable.name} does not fit {space.name}")
    return tuple(np.array(stored["probabilities"]) for stored in positions)


def read_decided(folder: Path, space: SearchSpace) -> Genotype | None:
    """The network that the search itself decided, from `theta.json`; None where its method decides none."""
    decided = read_theta(folder)["decided"]
    try:
        return None if decided is None else space.check(decided)
    except ValueError as error:
        raise ValueError(f"{folder / 'theta.json'}: its decided network does not fit {space.name}: {error}") from None


def _labels(variable: Variable) -> list[str]:
    return [str(choice) for choice in variable.choices]


def _first(space: SearchSpace) -> Arch:
    return space.decode((0,) * len(space.variables))
