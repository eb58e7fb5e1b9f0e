"""How far a table is off near a budget, by a few networks of the space that are measured there before a search begins.

The margin of a table is of networks of every size (`nas.latency.tables.proof`): where a few large ones fall out of a
cache it would keep a search of small ones at two thirds of its budget. A derivation from a supernet comes nearer
afterwards, by measuring; a search that trains candidates has only those that it trained.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nas.derive.budget import Budget
from nas.latency.devices import TargetDevice
from nas.latency.tables.proof import MARGIN_QUANTILE
from nas.latency.tables.table import LatencyTable
from nas.runs.files import write_json
from nas.runs.seeding import derive_seed
from nas.runs.stored import Milliseconds, Schema, read_record, record
from nas.terminal.progress import phase
from search_spaces.arch import Arch
from search_spaces.plain_data import identity
from search_spaces.pricing.budgets import Feasible, Limit
from search_spaces.wrappers.joint import JointSpace

NAME = "nearby.json"
FROM = 0.05  # the margin of a table above which its error near the budget is measured
COUNT, DRAWN = 12, 512  # networks that are measured, of so many that are drawn
STORED: Schema = {"identity": dict, "networks": list[dict], "takes": str | None, "digest": str}
SMALLER = "the smaller margin"  # which one a search takes: the table's, or that of these networks
NETWORK: Schema = {"arch": str, "estimated_ms": Milliseconds, "measured_ms": Milliseconds}


def begun(folder: Path) -> bool:
    """Whether networks near the budget of the search in `folder` were measured."""
    return (folder / NAME).exists()


def measure_nearby(
    folder: Path, space: JointSpace, device: TargetDevice, table: LatencyTable, limits: Sequence[Limit], seed: int
) -> None:
    """Measure `COUNT` networks within `limits`, that on latency first and as near to it as any drawn, into `folder`."""
    feasible, cost = Feasible(space, limits), limits[0].cost
    drawn = feasible.sample(DRAWN, np.random.default_rng(derive_seed(seed, "nearby")))
    estimates = cost(drawn)
    archs: dict[str, tuple[Arch, float]] = {}  # the nearest first, each network once
    for row in np.argsort(-estimates, kind="stable"):
        arch = space.decode(tuple(drawn[row].tolist()))
        archs.setdefault(arch.id, (arch, float(estimates[row])))
        if len(archs) == COUNT:
            break
    with phase("measuring networks near the budget", len(archs), "network") as advance:
        times = device.measure_briefly([arch for arch, _ in archs.values()], table, seed)
        advance(len(archs))
    networks = [
        {"arch": key, "estimated_ms": ms, "measured_ms": time.latency_ms}
        for (key, (_, ms)), time in zip(archs.items(), times, strict=True)
    ]
    content = {"identity": identity.plain(_depends(table, limits)), "networks": networks, "takes": SMALLER}
    write_json(folder / NAME, {**content, "digest": identity.digest(content)})


def with_margin_nearby(folder: Path, budget: Budget, table: LatencyTable, limits: Sequence[Limit]) -> Budget:
    """`budget` with the margin that the networks measured in `folder` ask for, as a table's own is found, where that is
    the smaller one.

    Where it is not, some of those networks are far slower than estimated, such as depthwise ones under a table that is
    right about dense ones. What is over the budget is found out by measuring before it is handed over, and costs a
    training; a margin for the worst costs every network a share of the budget (a quarter in one search).

    Raises `ValueError` for a damaged file, and where they were measured for another table or other limits.
    """
    path = folder / NAME
    stored = read_record(path, "networks near the budget", STORED)
    if stored["takes"] is None:  # of a search that began when theirs counted always: it goes on so
        stored.pop("takes")
    if stored.pop("digest") != identity.digest(stored):
        raise ValueError(f"{path} was changed since it was written: begin another run")
    identity.check(str(path), stored["identity"], _depends(table, limits), "begin another run")
    networks = [record(each, NETWORK, f"{path}: a network") for each in stored["networks"]]
    off = [each["measured_ms"] / each["estimated_ms"] - 1 for each in networks]
    margin = max(0.0, float(np.quantile(off, MARGIN_QUANTILE)))
    if margin >= budget.margin and "takes" in stored:
        return budget
    limit = max(budget.low_ms, budget.asked_ms / (1 + margin))
    return dataclasses.replace(budget, margin=margin, limit_ms=limit, nearby=len(networks))


def _depends(table: LatencyTable, limits: Sequence[Limit]) -> identity.Identity:
    return {"table": identity.digest(table.to_dict()), **{limit.name: limit.limit for limit in limits}}
