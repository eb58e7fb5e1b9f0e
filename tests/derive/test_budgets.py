"""Budgets from the command line to `result.json`: only what is asked is measured, and what was missed is said first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.derive.__main__ import main as derive
from nas.latency.device import Device
from nas.latency.measuring.network_time import NetworkTime
from nas.latency.tables import origin
from nas.latency.tables.table import LatencyTable, Row, entries
from nas.report.run_page import report_html
from nas.search.__main__ import main as search
from nas.terminal.entry import DictConfig, entry
from search_spaces.arch import Arch
from search_spaces.memory.counted import Counted
from search_spaces.space import SearchSpace
from tests.methods.candidates.pretended import Scored

pytestmark = pytest.mark.usefixtures("light_studies", "few_digits_in_all")

SMALL = [
    "space.width=0.25",
    "space.head_channels=32",
    "space.resolution=8",
    "space.candidates=[k3_e1,k3_e3,skip]",
    "train.enabled=false",
    "references.names=[]",
    "accelerator=cpu",
    "run_dir=r",
]
RANDOM = [*SMALL, "method=random", "search.trials=3", "search.epochs=1"]
DNAS = [*SMALL, "method.epochs=1", "method.batch_size=64", "method.warmup_epochs=0"]


def pretend_table(monkeypatch: pytest.MonkeyPatch, environment: dict[str, Any] | None = None) -> None:
    """A table that prices a layer at its multiply-adds / 1e6 ms, measured in `environment` (None: here)."""

    def build(space: SearchSpace, asked: Device, *_: Any, **__: Any) -> LatencyTable:
        priced = [(layer, shape, layer.cost(shape).macs / 1e6) for layer, shape in entries(space)]
        rows = tuple(Row(layer, shape, ms, 0.0, 10, ms) for layer, shape, ms in priced)
        found = origin.here(asked) if environment is None else environment
        return LatencyTable("fbnet", asked, rows, 0.0, None, environment=found)

    monkeypatch.setattr("nas.latency.build.build_table", build)


def pretend_measured(monkeypatch: pytest.MonkeyPatch, factor: float) -> list[str]:
    """Networks measure `factor` times their multiply-adds / 1e6 ms; returns who was measured."""
    measured: list[str] = []

    def measure(archs: Any, device: Device, calm: object, seed: int) -> list[NetworkTime]:
        (arch,) = archs
        measured.append(arch.id)
        ms = factor * float(arch.macs) / 1e6
        return [NetworkTime(ms, ms, 0.0)]

    monkeypatch.setattr("nas.latency.measuring.networks.measure_networks", measure)
    return measured


def result() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("r/result.json").read_text())
    return found


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "nas.methods.candidates.executors.local.LocalExecutor.open", lambda self, work: Scored().open(work)
    )


def test_budgets_on_counts_need_no_latency(capsys: pytest.CaptureFixture[str]) -> None:
    search([*RANDOM, "budget.macs=900000", "budget.params=90000"])
    found = result()
    assert found["budget_met"] is True and found["macs"] <= 900_000 and found["asked_params"] == 90_000
    assert [found[f"{kind}_latency_ms"] for kind in ("asked", "estimated", "measured")] == [None] * 3
    assert found["device"] is None and "not asked" in found["not_measured"]
    assert not Path("latency_tables").exists() and not Path("r/table.json").exists()
    page = report_html("r")
    assert "multiply-adds asked" in page and "900,000" in page and "90,000" in page
    (command,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next: ")]
    derive(["run=r", *command.split()[5:]])  # what is printed works when pasted
    with pytest.raises(SystemExit):
        derive(["run=r", "budget.latency_ms=1"])
    said = capsys.readouterr().err
    assert "r has no latency table, which budget.latency_ms needs" in said and "device=local" in said


def test_latency_off_is_refused_where_something_needs_it(capsys: pytest.CaptureFixture[str]) -> None:
    for settings, words in (
        ([*RANDOM, "budget.latency_ms=1"], "latency=off leaves nothing to hold budget.latency_ms by"),
        (DNAS, "latency=off: this method is steered by the latency table"),
    ):
        with pytest.raises(SystemExit) as stop:
            search([*settings, "latency=off"])
        assert stop.value.code == 2 and words in capsys.readouterr().err
    search([*RANDOM, "latency=off"])
    assert result()["budget_met"] is None and not Path("latency_tables").exists()


@pytest.mark.parametrize("settings", [DNAS, [*RANDOM, "search.trials=2"]])
def test_a_budget_that_is_missed_is_said_first_and_ends_with_status_1(
    settings: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Networks take ten times their estimate: even the cheapest one is too slow."""
    pretend_table(monkeypatch)
    measured = pretend_measured(monkeypatch, 10.0)
    with pytest.raises(SystemExit) as stop:
        search([*settings, "budget.rounds=3", "budget.fraction=0.05"])
    assert stop.value.code == 1
    found = result()
    assert found["budget_met"] is False and found["measured_latency_ms"] > found["asked_latency_ms"]
    assert 1 <= len(measured) <= 3 and Path("r/report.html").exists()
    said = capsys.readouterr().out
    assert said.index("BUDGET NOT MET: measured") < min(said.index(word) for word in ("chosen", "result of"))
    assert "budget missed" in report_html("r")
    count = len(measured)
    with pytest.raises(SystemExit) as stop:  # a finished run that is resumed says it again
        search(["resume=r"])
    assert stop.value.code == 1 and len(measured) == count
    assert result()["search_seconds"] >= found["search_seconds"]  # of all pieces


def test_derive_tightens_as_the_search_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_table(monkeypatch)
    pretend_measured(monkeypatch, 1.0)
    search(DNAS)
    assert result()["budget_met"] is True
    high = result()["reachable_latency_ms"][1]
    for factor, status in ((1.2, 0), (100.0, 1)):
        pretend_measured(monkeypatch, factor)
        arguments = ["run=r", f"budget.latency_ms={0.6 * high}", "count=2", "out=derived"]
        if status:
            with pytest.raises(SystemExit) as stop:
                derive(arguments)
            assert stop.value.code == status
        else:
            derive(arguments)
        records = json.loads(Path("derived/derived.json").read_text())
        assert [record["budget_met"] for record in records] == ([True, True] if not status else [False])
        assert len(list(Path("derived").glob("arch*.json"))) == len(records)  # none left of the derivation before
        assert ("BUDGET NOT MET" in capsys.readouterr().out) == bool(status)
    with pytest.raises(SystemExit):
        derive(["run=r", "out=r"])
    assert "out=r is a run directory" in capsys.readouterr().err


def test_a_table_of_another_machine_is_used_and_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_table(monkeypatch, {"imported": {"file": "phone.csv"}})
    measured = pretend_measured(monkeypatch, 10.0)
    search([*DNAS, "device.name=pixel3"])
    found = result()
    assert found["device"].startswith("pixel3") and found["measured_latency_ms"] is None and not measured
    assert found["budget_met"] is True and found["estimated_latency_ms"] <= found["asked_latency_ms"]
    why = "the table of pixel3-onnxruntime-fp32-b1-t1 is not of this machine as it is now"
    said = capsys.readouterr().out
    assert why in found["not_measured"] and f"not measured: {why}" in said.replace("\n", " ")
    assert f"Not measured: {why}" in report_html("r")
    derive(["run=r", "budget.fraction=0.3"])
    assert not measured and why in capsys.readouterr().out


def test_the_published_single_path_hands_over_what_its_thresholds_decide(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_table(monkeypatch)
    pretend_measured(monkeypatch, 1.0)
    small = [setting for setting in DNAS if "candidates" not in setting]
    paper = [*small, "space=single_path", "method=single_path", "method.mode=paper", "budget.fraction=null"]
    search(paper)
    theta = json.loads(Path("r/theta.json").read_text())
    probable = [int(np.argmax(position["probabilities"])) for position in theta["positions"]]
    assert result()["genotype"] == theta["decided"] and result()["derived_by"] == "thresholds"
    theta["decided"] = [(gene + 1) % 2 for gene in probable]  # the two differ, as margins make them
    Path("r/theta.json").write_text(json.dumps(theta))
    capsys.readouterr()
    derive(["run=r"])
    (record,) = json.loads(Path("r/derived/derived.json").read_text())
    assert record["genotype"] == theta["decided"]
    for arguments, words in (
        (["budget.latency_ms=0.01"], "out of reach"),
        (["budget.fraction=0.001"], "network that the thresholds decide takes"),
        (["budget.fraction=0.001"], "python -m nas.derive run=... mode=budget"),
        (["count=2"], "the thresholds decide a single network, 2 were asked"),
    ):
        with pytest.raises(SystemExit) as stop:
            derive(["run=r", *arguments])
        assert stop.value.code == 2 and words in capsys.readouterr().err
    derive(["run=r", "budget.fraction=0.1", "mode=budget", "count=2"])  # the way out
    with pytest.raises(SystemExit):
        search([*DNAS[:-3], "run_dir=other", "derive.mode=thresholds"])
    assert "only method=single_path decides a network by thresholds" in capsys.readouterr().err


def test_a_run_measured_on_its_device_stays_measured_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_table(monkeypatch)
    pretend_measured(monkeypatch, 1.0)
    search(DNAS)
    before = result()
    monkeypatch.setattr("nas.latency.tables.table.elsewhere", lambda *_: "cpu is A, asked is B")
    search(["resume=r"])
    assert result() == before and before["measured_latency_ms"] > 0


def test_of_several_runs_each_is_made_and_the_largest_status_counts() -> None:
    seen: list[int] = []

    @entry("search")
    def command(cfg: DictConfig) -> int:
        seen.append(cfg.seed)
        return 1 if cfg.seed == 0 else 0

    with pytest.raises(SystemExit) as stop:
        command(["--multirun", "seed=0,1"])
    assert stop.value.code == 1 and seen == [0, 1]


def test_every_budget_holds_in_a_supernet_s_derivation_and_in_another_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Latency, multiply-adds, memory and weights at once; they are recorded, shown and refused together."""
    pretend_table(monkeypatch)
    pretend_measured(monkeypatch, 1.0)
    counts = ["budget.memory_kib=2", "budget.weights_kib=90", "budget.macs=250000", "budget.dtype=int8"]
    search([*DNAS, "budget.latency_ms=0.3", *counts, "seed=1"])
    found = result()
    assert found["budget_met"] is True and found["counted"] == {"dtype": "int8", "in_place": "element_wise"}
    arch, counted = Arch.load("r/arch.json"), Counted("int8")
    assert (found["memory_kib"], found["weights_kib"]) == (arch.memory_kib(counted), arch.weights_kib(counted))
    assert found["memory_kib"] <= 2 and found["weights_kib"] <= 90 and found["macs"] <= 250_000
    assert (found["asked_memory_kib"], found["asked_weights_kib"], found["energy_mj"]) == (2, 90, None)
    page = report_html("r")
    assert "peak memory asked" in page and "2 KiB" in page and "weights asked" in page
    tight = found["memory_kib"] - 0.125
    derive(["run=r", f"budget.memory_kib={tight}", "count=3", "out=tight"])
    records = json.loads(Path("tight/derived.json").read_text())
    assert all(record["memory_kib"] <= tight and record["counted"]["dtype"] == "int8" for record in records)
    with pytest.raises(SystemExit):
        derive(["run=r", "budget.memory_kib=0.5"])
    assert "budget memory_kib=0.5 is out of reach: networks of this space take" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        derive(["run=r", "mode=argmax", f"budget.weights_kib={0.99 * records[0]['weights_kib']}", "budget.macs=200000"])
    assert "above budget." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        derive(["run=r", "budget.energy_mj=1"])
    assert "says nothing of energy" in capsys.readouterr().err
