"""What experiments share: proven tables recorded one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import proven_tables
from experiments.proven_tables import Recorder
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.tables.table import LatencyTable
from nas.runs.files import read_json
from search_spaces.families.fbnet import fbnet

RUNTIMES = Path(proven_tables.__file__).parent / "runtimes"


def test_a_recorder_adds_to_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = LatencyTable.load(next((RUNTIMES / "tables").glob("epyc/*-onnxruntime-fp32-*.json")))
    asked: list[object] = []

    def build(space: object, device: Device, folder: Path, **more: object) -> LatencyTable:
        asked.append((device, folder, more))
        return table

    monkeypatch.setattr(proven_tables, "build_table", build)
    recorder = Recorder(tmp_path / "tables", tmp_path / "results.json", Effort(), refresh=True)
    assert recorder.records() == {}
    for name in ("b", "a"):
        assert recorder.build(name, fbnet(32), Device()) is table
    assert asked == [(Device(), tmp_path / "tables", {"effort": Effort(), "refresh": True})] * 2
    found = recorder.records()
    assert list(found) == ["a", "b"] and found == read_json(tmp_path / "results.json", "results")
    held_out = [network for network in table.networks if network["role"] == "held_out"]
    assert found["a"]["networks"] == [{k: n[k] for k in ("arch", "measured_ms", "estimate_ms")} for n in held_out]
    assert table.proof is not None and found["a"]["proof"] == table.proof.to_dict()
    times = [network["measured_ms"] for network in table.networks]
    assert found["a"]["measured_ms"] == [min(times), max(times)]
    assert found["a"]["margin"] == table.margin and found["a"]["seconds"] >= 0


@pytest.mark.parametrize("machine", ["epyc", "xeon"])
def test_the_committed_tables_are_those_of_the_recorded_figures(machine: str) -> None:
    records = read_json(RUNTIMES / f"results-{machine}.json", "results")
    tables = {
        str(table.device): table for table in map(LatencyTable.load, (RUNTIMES / "tables" / machine).glob("*.json"))
    }
    assert len(tables) == len(records)
    for record in records.values():
        table = tables[str(Device.from_dict(record["device"]))]
        assert table.proof is not None and table.proof.to_dict() == record["proof"]
        assert len(table.rows_) == record["rows"] and table.environment == record["environment"]
