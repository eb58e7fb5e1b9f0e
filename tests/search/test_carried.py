"""From a phone by kits: its table, a search for it, its found networks measured on it, the receipt complete."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.derive.__main__ import main as derive
from nas.latency.__main__ import main as latency
from nas.latency.kits.files import FORMAT
from nas.latency.measuring.journal import seal
from nas.latency.measuring.kit_script import groups
from nas.latency.measuring.visits import Visit
from nas.latency.tables.table import LatencyTable
from nas.report.run_page import report_html
from nas.search.__main__ import main as search
from nas.terminal.error_lines import USER_ERROR
from tests.latency.devices.phone import measure_on, phone
from tests.methods.candidates.pretended import Scored

pytestmark = pytest.mark.usefixtures("light_studies")

SPACE = ["space.width=0.25", "space.head_channels=32", "space.resolution=8", "space.candidates=[k3_e1,k3_e3,skip]"]
DATA = ["space.num_classes=10", "space.in_channels=1"]
EFFORT = [f"effort.{name}={value}" for name, value in {"fit_networks": 6, "held_out_networks": 4, "rounds": 2,
          "network_rounds": 2, "visit_ms": 0.3, "network_visit_ms": 2}.items()]  # fmt: skip
RANDOM = ["method=random", "search.trials=12", "search.batch=12", "search.epochs=1"]
TABLE = Path("phone.json")
EXECUTOR = "nas.methods.candidates.executors.local.LocalExecutor.open"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phone(tmp_path_factory.mktemp("phone") / "env")


@pytest.fixture(scope="module")
def table(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phone's table, by a kit that went there and back."""
    folder = tmp_path_factory.mktemp("table")
    latency([*SPACE, *DATA, *EFFORT, "action=kit", f"kit={folder}/kit", "device.name=phone"])
    measure_on(python, folder / "kit")
    latency([*SPACE, *DATA, "action=import", f"kit={folder}/kit", f"tables={folder}"])
    (path,) = folder.glob("*-phone-*.json")
    return path


@pytest.fixture(scope="module")
def finished(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the phone's table and a search for it, `r`, whose candidates trained at once."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(EXECUTOR, lambda self, work: Scored().open(work))
        real = LatencyTable.load(table)
        rows = [(row.layer.cost(row.shape).macs / 1e6, row) for row in real.rows_]  # the same on every machine
        made_up = tuple(dataclasses.replace(row, ms=ms, calibrated_ms=ms) for ms, row in rows)
        dataclasses.replace(real, rows_=made_up, offset_ms=0.0, proof=None, networks=()).save(TABLE)
        searched("budget.fraction=0.5")
    return folder


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, to work in."""
    shutil.copytree(finished, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(EXECUTOR, lambda self, work: Scored().open(work))
    return tmp_path / "here"


def searched(*settings: str, run: str = "r") -> dict[str, Any]:
    """The receipt of a search for the phone."""
    device = ["device=table", f"device.file={TABLE}"]
    search([*SPACE, *RANDOM, *device, "accelerator=cpu", "train.enabled=false", f"run_dir={run}", *settings])
    return receipt(run)


def receipt(run: str = "r") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(run, "result.json").read_text())
    return found


def kit_of(run: str, kit: str) -> Path:
    latency(["action=kit", f"run={run}", f"kit={kit}"])
    return Path(kit)


def played(kit: Path, milliseconds: Callable[[str], float], taken: str = "2030-01-01T00:00:00Z") -> Path:
    """`kit` with results as a phone would leave them on which a network, by its arch's id, takes so long."""
    made = json.loads((kit / "kit.json").read_text())
    environment = {**LatencyTable.load(TABLE).environment, "time": taken}
    calm = environment.pop("calm_ms")
    environment.pop("kit")
    results: dict[str, Any] = {"format": f"{FORMAT}_results", "version": made["version"], "unit": "ms"}
    results |= {"kit": made["id"], "device": made["device"], "environment": environment, "visits": {}}
    (group,) = (group for group in groups([], made["networks"], made["effort"]).values() if group.entries)
    for entry in group.entries:
        ms, reference = milliseconds(entry["key"].removeprefix("net:")), calm[entry["rung"]]
        turns = range(group.processes * group.visits_each)
        visits = [Visit(ms, reference, 10, turn // group.visits_each, ms).numbers() for turn in turns]
        results["visits"][entry["key"]] = visits
    (kit / "results.json").write_text(json.dumps({**results, "digest": seal(results, "digest")}))
    return kit


def refused(capsys: pytest.CaptureFixture[str], *settings: str) -> str:
    """The one line with which `nas.latency` refuses `settings`."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        latency(list(settings))
    said = capsys.readouterr().err
    assert stop.value.code == USER_ERROR and said.count("\n") == 1, said
    return said


def files(run: str = "r") -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(run).rglob("*") if path.is_file() and path.name != ".lock"}


def test_a_kit_there_and_back_completes_the_receipt(
    here: Path, table: Path, python: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree("r")
    shutil.copy(table, TABLE)
    before, prices = TABLE.read_bytes(), LatencyTable.load(TABLE)
    found = searched("budget.fraction=1", "budget.tolerance=1000", "derive.count=2")  # however busy it is
    assert found["device"] == "phone-onnxruntime-fp32-b1-t1" and found["measured_latency_ms"] is None
    assert "python -m nas.latency action=kit run=r kit=r-kit" in found["not_measured"]
    assert "action=kit run=r kit=r-kit" in report_html("r")
    kit = kit_of("r", "r-kit")
    assert "action=import run=r kit=r-kit" in capsys.readouterr().out
    assert "no results.json yet" in refused(capsys, "action=import", "run=r", "kit=r-kit")
    measure_on(python, kit)
    latency(["action=import", "run=r", "kit=r-kit"])
    now = receipt()
    assert now["arch"] == found["arch"] and now["measured_latency_ms"] > 0
    assert now["not_measured"] is None and now["budget_met"] is True
    changed = {name for name in found if now[name] != found[name]} - {"latency_note"}  # said where it is busy
    assert changed == {"measured_latency_ms", "latency_now_ms", "not_measured"}
    assert "Not measured" not in report_html("r") and "measured" in capsys.readouterr().out
    derived = json.loads(Path("r/derived.json").read_text())["networks"]
    assert len(derived) == 2 and all(network["measured_ms"] > 0 for network in derived)
    again = files()
    latency(["action=import", "run=r", "kit=r-kit"])  # the same kit again changes nothing
    assert files() == again
    assert "have their times" in refused(capsys, "action=kit", "run=r", "kit=other")
    search(["resume=r"])  # and a run that goes on keeps what was brought back
    assert receipt()["measured_latency_ms"] == now["measured_latency_ms"]
    derive(["run=r", "out=derived"])
    (record, *_) = json.loads(Path("derived/derived.json").read_text())
    assert record["measured_latency_ms"] == now["measured_latency_ms"] and record["not_measured"] is None
    assert TABLE.read_bytes() == before and LatencyTable.load(TABLE) == prices
    assert sorted(path.name for path in here.iterdir()) == ["derived", "phone.json", "r", "r-kit"]


def test_a_network_that_misses_its_budget_gives_way_to_another(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It takes longer than the budget; of the second network, which is estimated lower, a new kit says that it fits."""
    shutil.rmtree("r")
    found = searched("budget.fraction=0.5", "search.trials=24", "train.enabled=true", "recipe.epochs=1")
    budget, first = found["asked_latency_ms"], found["arch"]
    assert found["top1_percent"] is not None
    kit = played(kit_of("r", "one"), lambda arch: 1.02 * budget)
    capsys.readouterr()
    latency(["action=import", "run=r", f"kit={kit}"])
    said, second = " ".join(capsys.readouterr().out.split()), receipt()
    assert second["arch"] != first and second["measured_latency_ms"] is None
    assert second["estimated_latency_ms"] < found["estimated_latency_ms"]
    assert second["top1_percent"] is None and second["weights"] is None and second["train_seconds"] is None
    assert f"arch.json is another network now, {second['arch']}" in said
    assert "python -m nas.latency action=kit run=r kit=r-kit-2" in said and "nas.search resume=r" in said
    assert "kit=r-kit-2 writes" in second["not_measured"]  # the one before may lie in r-kit
    assert not Path("r/model").exists() and Path("r/before-model/arch.json").exists()
    assert Path("r/checkpoints/before-train.pt").exists()
    before = files()
    latency(["action=import", "run=r", f"kit={kit}"])
    assert files() == before
    kit = played(kit_of("r", "two"), lambda arch: 0.9 * budget)
    latency(["action=import", "run=r", f"kit={kit}"])
    third = receipt()
    assert third["arch"] == second["arch"] and third["measured_latency_ms"] == pytest.approx(0.9 * budget)
    assert third["budget_met"] is True and third["not_measured"] is None
    search(["resume=r"])
    assert receipt()["arch"] == second["arch"] and receipt()["top1_percent"] is not None
    assert receipt()["measured_latency_ms"] == third["measured_latency_ms"]
    card = Path("r/model/README.md").read_text()
    assert f"{third['measured_latency_ms']:.4g}"[:5] in card


def test_where_no_network_is_fast_enough_it_is_said_with_status_1(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = receipt()["asked_latency_ms"]
    for number in range(1, 8):
        kit = played(kit_of("r", f"kit{number}"), lambda arch: 5 * budget)
        capsys.readouterr()
        try:
            latency(["action=import", "run=r", f"kit={kit}"])
        except SystemExit as stop:
            assert stop.code == 1
            break
    assert "BUDGET NOT MET: measured" in capsys.readouterr().out
    assert receipt()["budget_met"] is False and receipt()["measured_latency_ms"] == pytest.approx(5 * budget)


def test_what_is_not_the_runs_is_refused_in_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searched("budget.fraction=0.5", "seed=1", run="s")
    kit = played(kit_of("r", "kit"), lambda arch: 1.0)
    before = files(), files("s")
    assert "seed is 0, asked is 1" in refused(capsys, "action=import", "run=s", "kit=kit")
    shutil.copytree(kit, "other")
    made = json.loads((kit / "kit.json").read_text())
    for change, message in (
        (lambda d: d["environment"].update(cpu="another"), 'cpu is "another", asked is'),
        (lambda d: d["environment"].update(onnxruntime="1.0"), 'onnxruntime is "1.0", asked is'),
        (lambda d: d.update(device={**made["device"], "threads": 2}), "the kit is for"),
        (lambda d: d.update(kit="abc"), "is of kit 'abc'"),
        (lambda d: d["visits"].pop(next(iter(d["visits"]))), "was timed 0 times"),
    ):
        results = json.loads((kit / "results.json").read_text())
        change(results)
        results["digest"] = seal(results, "digest")
        (Path("other") / "results.json").write_text(json.dumps(results))
        assert message in refused(capsys, "action=import", "run=r", "kit=other")
    (Path("other") / "results.json").write_text((kit / "results.json").read_text().replace("1.0", "1.1", 1))
    assert "damaged" in refused(capsys, "action=import", "run=r", "kit=other")
    assert "there is no such folder" in refused(capsys, "action=import", "run=nowhere", "kit=kit")
    assert "needs kit=" in refused(capsys, "action=kit", "run=r")
    assert "goes with action=kit" in refused(capsys, "action=build", "run=r")
    assert "exists; name a new folder" in refused(capsys, "action=kit", "run=r", "kit=kit")
    assert "not of a space; name their run" in refused(capsys, *SPACE, *DATA, "action=import", "kit=kit")
    assert (files(), files("s")) == before


def test_times_of_a_run_carry_a_digest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    latency(["action=import", "run=r", f"kit={played(kit_of('r', 'kit'), lambda arch: 0.001)}"])
    path = Path("r/measured.json")
    stored = json.loads(path.read_text())
    for damage in ({**stored, "networks": []}, {**stored, "version": 7}, [], {**stored, "device": {"name": "x"}}):
        path.write_text(json.dumps(damage))
        said = refused(capsys, "action=import", "run=r", "kit=kit")
        assert "measured.json" in said
    path.unlink()
    latency(["action=import", "run=r", "kit=kit"])
    assert json.loads(path.read_text()) == stored


def test_of_two_times_the_later_one_holds(here: Path) -> None:
    """In whatever order they are brought back."""
    old, new = kit_of("r", "old"), kit_of("r", "new")
    played(old, lambda arch: 0.002, "2030-01-01T00:00:00Z")
    played(new, lambda arch: 0.001, "2030-01-02T00:00:00Z")
    for kit in ("new", "old", "new"):
        latency(["action=import", "run=r", f"kit={kit}"])
        assert receipt()["measured_latency_ms"] == 0.001


def test_a_run_whose_networks_its_search_measures_has_no_kit(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = LatencyTable.load(TABLE)
    imported = dataclasses.replace(
        table, device=dataclasses.replace(table.device, runtime="tflite"), environment={"imported": {"file": "x"}}
    )
    imported.save(TABLE)
    found = searched("budget.fraction=0.5", run="other")
    assert "action=kit" not in found["not_measured"]  # kits know nothing of its runtime
    assert "under a runtime of ours" in refused(capsys, "action=kit", "run=other", "kit=kit")
    searched("budget.macs=100000", "budget.fraction=null", run="counted")
    assert "no latency was asked for" in refused(capsys, "action=kit", "run=counted", "kit=kit")
