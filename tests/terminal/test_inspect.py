"""`nas.inspect` shows what costs a space reaches and which budgets can be met, and refuses those that cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.inspect import budget_rows, cost_rows, costs_of, envelope_of, main
from nas.latency.device import Device
from nas.latency.tables.table import LatencyTable, Row, entries, table_path
from search_spaces.families.fbnet import fbnet
from search_spaces.memory.counted import Counted
from search_spaces.pricing.limits import Limit

SPACE = fbnet(8, 10, 1, width=0.25, head_channels=32, candidates=("k3_e1", "k3_e3", "skip"))
SETTINGS = ["space.width=0.25", "space.head_channels=32", "space.candidates=[k3_e1,k3_e3,skip]"]
SETTINGS += ["space.resolution=8", "space.num_classes=10", "space.in_channels=1"]


def table(energy_mj: float | None = None) -> LatencyTable:
    """A layer takes its multiply-adds / 1e6 ms, and `energy_mj`."""
    rows = ((layer, shape, layer.cost(shape).macs / 1e6) for layer, shape in entries(SPACE))
    made = tuple(Row(layer, shape, ms, 0.0, 1, ms, energy_mj) for layer, shape, ms in rows)
    return LatencyTable("fbnet", Device(name="board"), made, 0.0, None)


def test_costs_and_the_share_that_meets_budgets() -> None:
    costs = costs_of(SPACE, Counted("int8"), table(0.5))
    assert list(costs) == ["params", "macs", "memory_kib", "weights_kib", "latency_ms", "energy_mj"]
    population = SPACE.sample(200, np.random.default_rng(0))
    memory = costs["memory_kib"](population)
    rows = {name: rest for name, *rest in cost_rows(costs, population)}
    assert rows["memory_kib"] == [f"{v:,.4g}" for v in (0.625, np.median(memory), 3.5)]
    layers = [sum(layer.table_row(shape) is not None for layer, shape in SPACE.decode(g).walk()) for g in population]
    np.testing.assert_allclose(costs["energy_mj"](population), 0.5 * np.array(layers))
    limits = [Limit("memory_kib", costs["memory_kib"], 2.0), Limit("macs", costs["macs"], 200_000.0)]
    *each, together = budget_rows(limits, population)
    meets = [limit.cost(population) <= limit.limit for limit in limits]
    assert [row[3] for row in each] == [f"{100 * m.mean():.3g}%" for m in meets]
    assert together[3] == f"{100 * (meets[0] & meets[1]).mean():.3g}%"


def test_whether_candidates_can_inherit() -> None:
    assert envelope_of(SPACE).startswith("yes: all are slices of one network of ")
    grouped = fbnet(8, 10, 1, width=0.25, head_channels=32)
    assert envelope_of(grouped) == "no: stage 1, k3_e1_g2: slices of grouped convolutions do not nest; drop the groups"


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    board = [*SETTINGS, "device.name=board", "samples=50"]
    main([*board, "budget.memory_kib=2", "budget.dtype=int8"])
    said = capsys.readouterr().out
    assert "costs of its networks" in said and "no latency table of board" in said and "all of them" in said
    assert "search.scorer=elastic" in said
    assert "samples" not in said.rpartition("python -m nas.latency")[2]
    for wrong, words in (
        (["budget.latency_ms=1"], "budget.latency_ms is held by a table of board"),
        (["budget.memory_kib=0.5", "budget.dtype=int8"], "memory_kib=0.5 is out of reach: networks of this space take"),
        (["budget.memory_kib=0.625", "budget.dtype=int8", "budget.macs=17088"], None),
    ):
        if words is None:
            main([*board, *wrong])
            continue
        with pytest.raises(SystemExit) as stop:
            main([*board, *wrong])
        assert stop.value.code == 2 and words in capsys.readouterr().err
    priced = table()
    priced.save(table_path("latency_tables", SPACE, priced.device))
    capsys.readouterr()
    main([*board, "budget.latency_ms=0.2"])
    said = capsys.readouterr().out
    assert "latency_ms" in said and "no latency table" not in said
    with pytest.raises(SystemExit):
        main([*board, "budget.energy_mj=1"])
    assert "budget.energy_mj is held by a table" in capsys.readouterr().err
