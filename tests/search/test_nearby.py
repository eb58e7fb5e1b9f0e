"""Networks near the budget that are measured before candidates are trained, and the margin that they ask for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.derive.budget import Budget
from nas.latency.device import Device
from nas.latency.devices.local import LocalDevice
from nas.latency.measuring.network_time import NetworkTime
from nas.latency.tables.proof import Proof
from nas.latency.tables.table import LatencyTable, Row, entries
from nas.search.pricing.nearby import COUNT, NAME, with_margin_nearby
from nas.search.pricing.prices import Prices, intention, price
from nas.search.settings import TYPES
from nas.search.setup import SearchSetup
from nas.terminal.python_settings import resolved
from search_spaces.arch import Arch
from search_spaces.families.fbnet import fbnet
from search_spaces.plain_data import identity
from search_spaces.pricing.budgets import Limit

SPACE = {"card": "fbnet", "width": 0.25, "head_channels": 32, "resolution": 8, "candidates": ["k3_e1", "k3_e3", "skip"]}
SEARCHED = fbnet(8, 10, 1, width=0.25, head_channels=32, candidates=("k3_e1", "k3_e3", "skip"))
ASKED_MS = 1.0
OFF = np.linspace(0.85, 1.07, COUNT)  # measured over estimated, in the order in which they are measured


@pytest.fixture()
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Arch]:
    """The networks that were measured: each has its share of `OFF` of what `table` says."""
    found: list[Arch] = []

    def briefly(self: LocalDevice, archs: Sequence[Arch], table: LatencyTable, seed: int = 0) -> list[NetworkTime]:
        found.extend(archs)
        estimates = [table.estimate_ms(arch) for arch in archs]
        return [NetworkTime(ms * off, ms * off, 0.0, processes=3) for ms, off in zip(estimates, OFF, strict=True)]

    monkeypatch.setattr(LocalDevice, "measure_briefly", briefly)
    monkeypatch.setattr(LocalDevice, "not_measured", lambda self, table: None)
    return found


def searched(folder: Path, margin: float = 0.35, method: str = "random", asked_margin: float | None = None) -> Prices:
    """What a search in `folder` goes by, whose table has that `margin`."""
    asked = {"space": SPACE, "references": {"names": []}, "accelerator": "cpu", "method": method}
    budget = {"latency_ms": ASKED_MS, "margin": asked_margin}
    setup = SearchSetup.from_config(resolved("search", asked | {"budget": budget}, TYPES))
    priced = [(layer, shape, layer.cost(shape).macs / 4e5) for layer, shape in entries(SEARCHED)]
    rows = tuple(Row(layer, shape, ms, 0.0, 10, ms) for layer, shape, ms in priced)
    times = np.array([1.0, 2.0, 3.0])
    proof = dataclasses.replace(Proof.of(times, times, (times, times), times, 2), margin=margin)
    if not (folder / "table.json").exists():
        LatencyTable("fbnet", Device(), rows, 0.0, proof).save(folder / "table.json")
    prices = price(folder, setup)
    assert ("networks measured near it" in intention(setup, prices)) is bool(prices.budget and prices.budget.nearby)
    return prices


def test_a_margin_of_networks_near_the_budget(measured: list[Arch], tmp_path: Path) -> None:
    budget = searched(tmp_path).budget
    assert budget is not None and budget.nearby == COUNT and budget.margin == pytest.approx(np.quantile(OFF - 1, 0.9))
    assert budget.limit_ms == pytest.approx(ASKED_MS / (1 + budget.margin)) and budget.asked_ms == ASKED_MS
    estimates = [LatencyTable.load(tmp_path / "table.json").estimate_ms(arch) for arch in measured]
    assert (
        len({arch.id for arch in measured}) == COUNT and max(estimates) <= ASKED_MS and min(estimates) > 0.7 * ASKED_MS
    )
    assert searched(tmp_path).budget == budget and len(measured) == COUNT  # a search that goes on measures none


@pytest.mark.parametrize(
    ("settings", "begun"),
    [
        ({"margin": 0.04}, ""),
        ({"method": "dnas"}, ""),
        ({"asked_margin": 0.2}, ""),
        ({}, "trials.db"),
        ({}, "metrics.jsonl"),
    ],
)
def test_the_margin_is_the_tables_or_what_was_asked(
    settings: dict[str, Any], begun: str, measured: list[Arch], tmp_path: Path
) -> None:
    """Near tables, supernets, a margin of the user's, and searches that began without."""
    if begun:
        (tmp_path / begun).write_text('{"phase": "search", "step": 0, "time": 0.0}\n')
    budget = searched(tmp_path, **settings).budget
    assert budget is not None and not measured and budget.nearby == 0
    assert budget.margin == settings.get("asked_margin", settings.get("margin", 0.35))


def test_networks_that_are_far_slower_than_estimated_take_no_budget_from_the_others(
    measured: list[Arch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.search.test_nearby.OFF", np.linspace(0.9, 1.5, COUNT))
    budget = searched(tmp_path, margin=0.054).budget
    assert budget is not None and len(measured) == COUNT and budget.nearby == 0
    assert budget.margin == 0.054 and budget.limit_ms == pytest.approx(ASKED_MS / 1.054)
    # a search that began when theirs counted always goes on so
    file = tmp_path / NAME
    stored = {key: value for key, value in json.loads(file.read_text()).items() if key not in ("takes", "digest")}
    file.write_text(json.dumps({**stored, "digest": identity.digest(stored)}))
    before = searched(tmp_path, margin=0.054).budget
    assert before is not None and before.nearby == COUNT and before.margin > 0.4


def test_what_was_measured_belongs_to_a_table_and_budgets(measured: list[Arch], tmp_path: Path) -> None:
    """The candidates that follow were drawn by it: another table, other budgets and damage are refused."""
    searched(tmp_path)
    table = LatencyTable.load(tmp_path / "table.json")
    asked = Limit("latency_ms", table.cost(SEARCHED), ASKED_MS)
    budget = Budget(ASKED_MS, 0.8, 0.2, 0.1, 2.0)
    assert with_margin_nearby(tmp_path, budget, table, [asked]).nearby == COUNT
    with pytest.raises(ValueError, match=r"nearby.json belongs to something else: latency_ms is 1.0, asked is 2.0"):
        with_margin_nearby(tmp_path, budget, table, [dataclasses.replace(asked, limit=2.0)])
    other = dataclasses.replace(table, offset_ms=1.0)
    with pytest.raises(ValueError, match=r"nearby.json belongs to something else: table"):
        with_margin_nearby(tmp_path, budget, other, [asked])
    file = tmp_path / NAME
    file.write_text(file.read_text().replace('"measured_ms": ', '"measured_ms": 1'))
    with pytest.raises(ValueError, match=r"nearby.json was changed since it was written"):
        searched(tmp_path)
