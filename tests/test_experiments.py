"""What experiments share: proven tables recorded one by one; and that comparisons count what they say."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import proven_tables
from experiments.equal_cost import report, run
from experiments.proven_tables import Recorder
from experiments.records import Results
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.tables.table import LatencyTable
from nas.methods.base import Task
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


@pytest.mark.parametrize(("seconds", "networks"), [(1, 1), (24, 2), (26, 3), (1000, 5)])
def test_a_random_search_trains_until_its_time_is_nearest_to_what_it_may_take(
    seconds: float, networks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = [80.0, 90.0, 85.0, 70.0, 60.0]
    trained: list[int] = []  # ten seconds each
    space = SimpleNamespace(decode=lambda genotype: genotype)
    held_out = SimpleNamespace(held_out=lambda fraction, seed: None)
    monkeypatch.setattr(run, "QUESTIONS", {"fbnet": SimpleNamespace(space=lambda: space)})
    monkeypatch.setattr(run, "DRAWS", 5)
    monkeypatch.setattr(run, "data", lambda root: held_out)
    monkeypatch.setattr(run, "random_networks", lambda cost, space, seed, count: [[i] for i in range(count)])
    monkeypatch.setattr(run, "trained", lambda arch, *rest: trained.extend(arch) or {"top1_percent": scores[arch[0]]})
    monkeypatch.setattr(run.time, "process_time", lambda: 10.0 * len(trained))
    monkeypatch.setattr(run.LatencyTable, "load", lambda path, space: SimpleNamespace(cost=lambda space: None))
    found = run.search_randomly("fbnet", "images.npz", ".", 0, seconds)
    assert len(found["scores"]) == networks
    assert found["index"] == min(networks - 1, 1) and found["genotype"] == [found["index"]]


def test_a_search_that_was_interrupted_counts_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the checkpoint of an earlier piece it would take less, and so would the random search beside it."""
    begun: list[bool] = []

    def search(task: Task) -> None:
        begun.append(any(task.checkpoint.parent.iterdir()))
        task.checkpoint.touch()
        raise KeyboardInterrupt

    space = SimpleNamespace(space=lambda: None, method="dnas")
    monkeypatch.setattr(run, "QUESTIONS", {"fbnet": space})
    monkeypatch.setattr(run, "data", lambda root: None)
    monkeypatch.setattr(run, "limit_of", lambda cost: 1.0)
    monkeypatch.setattr(run.LatencyTable, "load", lambda path, space: SimpleNamespace(cost=lambda space: None))
    monkeypatch.setattr(run.cards, "build", lambda *_: SimpleNamespace(search=search))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run.search("fbnet", "images.npz", str(tmp_path), 0)
    assert begun == [False, False]


def test_found_networks_are_compared_seed_by_seed_with_the_mean_of_random_ones() -> None:
    top1 = {"found": [90.0, 91.0], "random search": [89.0, 91.5], "random 0": [88.0, 88.0], "random 1": [90.0, 89.0]}
    trainings = [
        {"kind": "training", "name": name, "seed": seed, "macs": 2e6, "top1_percent": value}
        for name, values in top1.items()
        for seed, value in enumerate(values)
    ]
    times = [{"kind": "time", "name": name, "seed": 0, "latency_ms": 0.05} for name in top1]
    text = report.text([*trainings, *times])
    assert "| random, mean | 2 | 0.0500 | 2.00 | 89.00, 88.50 |" in text
    assert "| found | random search | 2 | +0.25 ± 9.53 | 1 |" in text
    assert "| found | random, mean | 2 | +1.75 ± 9.53 | 2 |" in text
    begun = report.text([t for t in trainings if t["seed"] == 0])
    assert "| found | 1 | not yet measured | 2.00 | 90.00 |" in begun
    assert "| found | random search | 1 | no spread yet | |" in begun


def test_results_go_on_from_what_an_earlier_run_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "results.jsonl"
    first = {"kind": "training", "arch": {"stages": []}, "top1_percent": 90.0}
    assert Results(file).add(first) is first
    assert capsys.readouterr().out == '{"kind": "training", "top1_percent": 90.0}\n'
    again = Results(file)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: again.add({"number": number}), range(40)))
    found = Results(file).found
    assert found[0] == first and found == again.found
    assert sorted(record["number"] for record in found[1:]) == list(range(40))
