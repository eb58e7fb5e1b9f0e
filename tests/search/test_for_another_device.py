"""A search and derivations by the table of a phone that is not here: HW-NAS-Bench's Pixel 3."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from nas.derive.__main__ import main as derive
from nas.latency.__main__ import main as latency
from nas.latency.tables.table import LatencyTable
from nas.report.run_page import report_html
from nas.search.__main__ import main as search
from search_spaces.arch import Arch
from tests.latency.foreign_tables import LUT
from tests.methods.candidates.pretended import Scored

pytestmark = pytest.mark.usefixtures("light_studies")

SPACE = ["space.resolution=32", "space.head_channels=1504"]
RUNTIME = "tflite"  # none of ours, as it was measured


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The imported table, and a data set of as many classes and pixels."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "nas.methods.candidates.executors.local.LocalExecutor.open", lambda self, work: Scored().open(work)
    )
    images = np.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(300) % 100
    np.savez("hundred.npz", x_train=images[:200], y_train=labels[:200], x_test=images[200:], y_test=labels[200:])
    named = ["device.name=pixel3", f"device.runtime={RUNTIME}", "space.num_classes=100"]
    latency([*SPACE, *named, "action=import", "format=hwnasbench", f"file={LUT}", "source=pixel3"])
    (path,) = Path("latency_tables").glob("*-pixel3-tflite-*.json")
    return path


def test_a_search_and_three_derivations_by_an_imported_table(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = table.read_bytes()
    device = ["device=table", f"device.file={table}"]
    setting = [*SPACE, "data=npz", "data.root=hundred.npz", "train.enabled=false", "accelerator=cpu"]
    asked = ["method=random", "search.trials=24", "search.batch=24", "search.epochs=1", "budget.latency_ms=25"]
    capsys.readouterr()
    search([*setting, *device, *asked, "run_dir=r"])
    found, said = json.loads(Path("r/result.json").read_text()), capsys.readouterr().out
    assert found["device"] == "pixel3-tflite-fp32-b1-t1"
    assert 0 < found["estimated_latency_ms"] <= 25 and found["budget_met"] is True
    assert found["measured_latency_ms"] is None
    why = "the table of pixel3-tflite-fp32-b1-t1 alone, and that device is not here"
    assert why in found["not_measured"] and why in report_html("r")
    assert f"not measured: device=table is {why[:40]}" in said
    assert "no network will be measured, estimates decide alone" in said
    table.rename("elsewhere.json")  # a run has its own copy
    costs = sorted(trial["costs"]["latency_ms"] for trial in json.loads(Path("r/trials.json").read_text()))
    for budget in (costs[4], costs[12], 24.9):
        derive(["run=r", f"budget.latency_ms={budget}", "count=2", "out=derived"])
        records = json.loads(Path("derived/derived.json").read_text())
        assert len(records) == 2
        for record in records:
            assert 0 < record["estimated_latency_ms"] <= budget and record["budget_met"] is True
            assert record["measured_latency_ms"] is None and why in record["not_measured"]
            assert record["device"] == found["device"]
        assert why in " ".join(capsys.readouterr().out.split())
    # of the run's own budget with what the search kept free of it
    result = Path("r/result.json")
    result.write_text(json.dumps({**found, "limit_latency_ms": costs[2]}))
    derive(["run=r", "count=9", "out=own"])
    estimates = [record["estimated_latency_ms"] for record in json.loads(Path("own/derived.json").read_text())]
    assert sorted(estimates) == pytest.approx(costs[:3])
    result.write_text(json.dumps(found))
    # a named file counts, whatever table of that device the run has, or had before
    known = LatencyTable.load("elsewhere.json")
    for times in (3.0, 5.0):
        rows = tuple(dataclasses.replace(row, ms=times * row.ms) for row in known.rows_)
        dataclasses.replace(known, rows_=rows, offset_ms=times * known.offset_ms).save("other.json")
        derive(["run=r", "device=table", "device.file=other.json", "budget.latency_ms=1000", "out=other"])
        (record,) = json.loads(Path("other/derived.json").read_text())
        arch = Arch.load("other/arch.json")
        assert record["estimated_latency_ms"] == pytest.approx(LatencyTable.load("other.json").estimate_ms(arch))
        assert record["estimated_latency_ms"] > 1.2 * (known.estimate_ms(arch) or 0)
    assert len(list(Path("r/tables").glob("*.json"))) == 2, "each named table is kept, none takes another's place"
    # so does the table that the folder of tables has now
    by_name = ["device=local", "device.name=pixel4", f"device.runtime={RUNTIME}"]
    for times in (1.0, 2.0):
        rows = tuple(dataclasses.replace(row, ms=times * row.ms) for row in known.rows_)
        device_of = dataclasses.replace(known.device, name="pixel4")
        now = dataclasses.replace(known, device=device_of, rows_=rows, offset_ms=times * known.offset_ms)
        there = now.save(Path("latency_tables") / table.name.replace("pixel3", "pixel4"))
        derive(["run=r", *by_name, "budget.latency_ms=1000", "out=fourth"])
        (record,) = json.loads(Path("fourth/derived.json").read_text())
        assert record["estimated_latency_ms"] == pytest.approx(now.estimate_ms(Arch.load("fourth/arch.json")))
    there.unlink()
    assert "is another table than r/tables/pixel4" in capsys.readouterr().out
    search(["resume=r"])
    again = json.loads(Path("r/result.json").read_text())
    assert {**again, "search_seconds": 0} == {**found, "search_seconds": 0}
    assert Path("elsewhere.json").read_bytes() == before and not list(table.parent.glob("*.json"))
