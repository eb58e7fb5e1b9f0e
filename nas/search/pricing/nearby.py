"""How far a table is off near a budget, by a few networks of the space that are measured there before a search begins.

The margin of a table is of networks of every size (`nas.latency.tables.proof`): where a few large ones fall out of a
cache it would keep a search of small ones at two thirds of its budget. A derivation from a supernet comes nearer
afterwards, by measuring; a search that trains candidates has only those that it trained.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from nas.derive.budget import Budget
from nas.latency.devices import TargetDevice
from nas.latency.tables.proof import MARGIN_QUANTILE
from nas.latency.tables.table import LatencyTable
from nas.runs.files import read_json, write_json
from nas.runs.seeding import derive_seed
from nas.runs.stored import Count, Milliseconds, Schema, record
from nas.terminal.progress import phase
from search_spaces.arch import Arch
from search_spaces.pricing.budgets import Feasible, Limit
from search_spaces.wrappers.joint import JointSpace

NAME = "nearby.json"
FROM = 0.05  # the margin of a table above which its error near the budget is measured
COUNT, DRAWN = 12, 512  # networks that are measured, of so many that are drawn
STORED: Schema = {"networks": list[dict]}
NETWORK: Schema = {"arch": str, "estimated_ms": Milliseconds, "measured_ms": Milliseconds, "processes": Count}


def begun(folder: Path) -> bool:
    """Whether networks near the budget of the search in `folder` were measured."""
    return (folder / NAME).exists()


def measure_nearby(
    folder: Path, space: JointSpace, device: TargetDevice, table: LatencyTable, limits: list[Limit], seed: int
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
        {"arch": key, "estimated_ms": ms, "measured_ms": time.latency_ms, "processes": time.processes}
        for (key, (_, ms)), time in zip(archs.items(), times, strict=True)
    ]
    write_json(folder / NAME, {"networks": networks})


def with_margin_nearby(folder: Path, budget: Budget) -> Budget:
    """`budget` with the margin that the networks measured in `folder` ask for, as a table's own is found.

    Raises `ValueError` for a damaged file.
    """
    path = folder / NAME
    stored = record(read_json(path, "networks near the budget"), STORED, f"{path}: networks near the budget")
    networks = [record(each, NETWORK, f"{path}: a network") for each in stored["networks"]]
    off = [each["measured_ms"] / each["estimated_ms"] - 1 for each in networks]
    margin = max(0.0, float(np.quantile(off, MARGIN_QUANTILE)))
    limit = max(budget.low_ms, budget.asked_ms / (1 + margin))
    return dataclasses.replace(budget, margin=margin, limit_ms=limit, nearby=len(networks))
