"""Searches with references: what they leave, that they go on, and that a better reference is never hidden."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.latency.device import Device
from nas.latency.measuring.journal import seal
from nas.latency.measuring.network_time import NetworkTime
from nas.latency.tables.origin import here
from nas.latency.tables.table import LatencyTable, Row, entries, table_path
from nas.methods.candidates.executors.local import LocalExecutor
from nas.networks.creation import create_model
from nas.report.run_page import report_html
from nas.search.__main__ import main as search
from nas.search.references.known_times import keep_times, place, read_times
from nas.search.references.pricing import of_finished
from search_spaces.arch import Arch
from search_spaces.families.hand_made.plain import plain
from search_spaces.space import SearchSpace
from tests.methods.candidates.pretended import Scored

pytestmark = pytest.mark.usefixtures("light_studies")

SPACE = ["space=fbnet", "space.width=0.25", "space.head_channels=32", "data=npz", "data.root=few.npz"]
SHORT = ["space.candidates=[k3_e1,k3_e3,k3_e6,skip]", "recipe.epochs=1", "recipe.warmup_epochs=0", "accelerator=cpu"]
CANDIDATES = ["method=regularized_evolution", "search.trials=3", "search.batch=3", "search.epochs=1"]
BUDGET = ["budget.tolerance=0.2", "budget.fraction=0.8"]
SETTINGS = [*SPACE, *SHORT, *CANDIDATES, *BUDGET, "references.names=[plain,fbnet_c]"]
MEASURED: list[str] = []


def measured(archs: list[Arch], device: object, calm: object, seed: int = 0, *care: object) -> list[NetworkTime]:
    MEASURED.extend(arch.id for arch in archs)
    return [NetworkTime(arch.macs / 1e6, arch.macs / 1e6, 0.0) for arch in archs]


def made_up(space: SearchSpace, device: Device, folder: str, **_: Any) -> LatencyTable:
    """A table of this machine in which a row takes as many milliseconds as it has millions of multiply-adds."""
    rows = tuple(
        Row(layer, shape, ms, 0.0, 1, ms)
        for layer, shape in entries(space)
        for ms in [max(layer.cost(shape).macs / 1e6, 1e-6)]
    )
    found = LatencyTable(space.name, device, rows, 0.0, None, environment={**here(device), "calm_ms": {"16k": 1.0}})
    found.save(table_path(folder, space, device))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which everything takes as many milliseconds as it has millions of multiply-adds."""
    found = tmp_path_factory.mktemp("references")
    images = np.random.default_rng(0).integers(0, 256, (160, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(160) % 10
    np.savez(found / "few.npz", x_train=images[:100], y_train=labels[:100], x_test=images[100:], y_test=labels[100:])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(found)
        patch.setattr("nas.latency.build.build_table", made_up)
        patch.setattr("nas.latency.measuring.networks.measure_networks", measured)
        patch.setattr(LocalExecutor, "open", lambda self, work: Scored().open(work))
        yield found


@pytest.fixture(scope="module")
def said(folder: Path) -> str:
    """What the search into `r` said: whichever test of it comes first on a worker."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        search([*SETTINGS, "references.train=true", "run_dir=r"])
    return " ".join(out.getvalue().split())


def result(run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(run, "result.json").read_text())
    return found


def test_found_against_references(said: str) -> None:
    found = result("r")
    rows = {row["name"]: row for row in found["references"]}
    assert list(rows) == ["plain", "fbnet_c"] and found["top1_percent"] is not None
    ceiling = 1.2 * found["asked_latency_ms"]
    for row in rows.values():
        assert row["measured_latency_ms"] == pytest.approx(row["macs"] / 1e6) and row["measured_latency_ms"] <= ceiling
        assert row["difference_points"] == found["top1_percent"] - row["top1_percent"]
        assert row["ahead"] == (row["top1_percent"] > found["top1_percent"])
    assert "training 2 references as the found network was: about" in said
    assert "references at this budget" in said and "plain x" in said
    page = report_html("r")
    assert "Against hand-made networks" in page and "plain x" in page
    leading = [row for row in rows.values() if row["ahead"]]
    assert (found["best_reference"] is not None) == bool(leading) == ("A REFERENCE IS AHEAD" in said)
    assert ("A reference is ahead" in page) == bool(leading)


def test_a_run_that_was_interrupted_compares_with_the_same_ones(said: str) -> None:
    """Before a training of a reference, and before they were priced: what was measured is kept beside the table."""
    before = result("r")
    (times,) = Path("latency_tables").glob("*.references")
    kept = times.read_bytes()
    Path("r/references.json").unlink()
    next(iter(Path("r/checkpoints").glob("reference-*.pt"))).unlink()
    MEASURED.clear()
    search(["resume=r"])
    assert not MEASURED and times.read_bytes() == kept
    assert result("r")["references"] == before["references"]
    path = Path("r/references.json")
    path.write_text(path.read_text().replace("plain", "plane", 1))
    with pytest.raises(ValueError, match="does not hold references: its content does not match its digest"):
        of_finished(Path("r"), before)


def test_times_of_another_machine_are_not_used(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = Path("latency_tables").glob("*.json")
    table, times = LatencyTable.load(path), place(path)
    known = read_times(times, table)
    assert known and not capsys.readouterr().out
    stored = json.loads(times.read_text())
    other = {**stored, "identity": {**stored["identity"], "cpu": "another"}}
    for damage, words in (
        ({**stored, "times": {}}, "does not match its digest"),
        ({**other, "digest": seal(other, "digest")}, "it belongs to another table, machine or version"),
        ([], "must be an object"),
    ):
        times.write_text(json.dumps(damage))
        assert read_times(times, table) == {}
        assert words in " ".join(capsys.readouterr().out.split())
    keep_times(times, table, known)
    keep_times(times, table, {"another": NetworkTime(1.0, 1.0, 0.0)})
    assert read_times(times, table) == {**known, "another": NetworkTime(1.0, 1.0, 0.0)}
    slower = dataclasses.replace(table, environment={**table.environment, "calm_ms": {"16k": 2.0}})
    assert read_times(times, slower) == {}  # they stand at the calm speed of their table


def test_the_reference_is_handed_over_where_it_is_better(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain network is given the accuracy of one that is better than anything."""
    from nas.train import training

    real = training.train

    def better(network: Any, *args: Any, **named: Any) -> dict[str, float]:
        figures = real(network, *args, **named)
        is_plain = len(network.arch.layers) == 6
        return {**figures, "top1_percent": 99.0 if is_plain else min(figures["top1_percent"], 50.0)}

    monkeypatch.setattr(training, "train", better)
    search([*SETTINGS, "references.train=false", "run_dir=best"])
    assert result("best")["best_reference"] is None  # nobody knows
    search(["resume=best", "references.train=true", "derive.best_of=all"])
    found = result("best")
    plain_row = found["references"][0]
    assert found["handed_over"] == f"plain x{plain_row['multiplier']:g}" == found["best_reference"]
    page = report_html("best")
    assert f"{found['handed_over']}, handed over by a search of the" in page and "found by" not in page
    assert "a reference is handed over: it was ahead" in page and "a reference is ahead" not in page
    assert found["arch"] == plain_row["arch"] == Arch.load("best/arch.json").id and found["top1_percent"] == 99.0
    assert found["found"]["arch"] == Arch.load("best/found.json").id != found["arch"]
    assert found["budget_met"] is True and found["genotype"] is None and found["macs"] == plain_row["macs"]
    assert create_model("best/model").arch.id == found["arch"]
    page = report_html("best")
    assert "was handed over in the found network" in page and "A reference is ahead" not in page
    search(["resume=best"])
    again = result("best")
    assert {k: v for k, v in again.items() if not k.endswith("seconds")} == {
        k: v for k, v in found.items() if not k.endswith("seconds")
    }


def test_without_a_latency_the_other_budgets_decide(folder: Path) -> None:
    Path("mine.json").write_text(plain("plain_conv4", 0.1, 8, 10, 1).to_json())
    names = "references.names=[plain,mnasnet_100,mine.json]"
    asked = ["budget.macs=300000", "budget.fraction=null", "latency=off"]
    search([*SETTINGS, names, *asked, "train.enabled=false", "run_dir=macs"])
    rows = result("macs")["references"]
    assert [row["name"] for row in rows][-1] == "mine" and rows[-1]["multiplier"] is None
    assert all(row["macs"] <= 300_000 and row["measured_latency_ms"] is None for row in rows)
    assert rows[0]["name"] == "plain" and rows[0]["macs"] > 250_000  # the widest within it


def test_by_a_table_alone_what_it_does_not_price_is_said(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And candidates begin with the points most like references all the same; chance has none."""
    (table,) = Path("latency_tables").glob("*.json")
    device = ["device=table", f"device.file={table}", "train.enabled=false"]
    search([*SETTINGS, *device, "run_dir=table"])
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "references plain and fbnet_c are left out: the table lacks rows of that kind, and nothing is measured" in said
    )
    assert result("table")["references"] == [] and result("table")["best_reference"] is None
    assert list(result("table")["references_left_out"]) == ["plain", "fbnet_c"]
    assert "plain is left out: the table lacks rows" in report_html("table")
    assert "the search begins with 2 candidates" in said
    search([*SETTINGS, *device, "method=random", "references.start=true", "run_dir=chance"])
    assert "the search begins with" not in capsys.readouterr().out
