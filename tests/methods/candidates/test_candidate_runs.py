"""`nas.search` on spaces without a supernet: what a run leaves, what a kill costs, and what is refused."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nas.runs.run import read_metrics
from nas.search.__main__ import main
from nas.terminal.configuration.composition import compose, own_method
from tests.runs.killed_runs import finish, kill_when, start

SMALL = [
    "space.width=0.25",
    "space.head_channels=32",
    "space.resolution=8",
    "space.candidates=[k3_e1,k3_e3,skip]",
    "recipe.epochs=2",
    "recipe.warmup_epochs=0",
    "search.trials=8",
    "search.batch=3",
    "search.finalists=2",
    "search.epochs=1",
    "method.initial=3",
    "method.acquisition_evaluations=200",
    "predictor=random_forest",
    "predictor.trees=10",
    "references.names=[]",
]


def refused(capsys: pytest.CaptureFixture[str], *settings: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(list(settings))
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_the_space_decides_the_method() -> None:
    def method(*settings: str) -> str:
        return str(compose("search", list(settings)).method["_target_"]).rpartition(".")[2]

    assert method() == "DNAS"
    assert method("space=single_path") == "SinglePath"
    assert method("space=fbnetv3") == method("space=rexnet") == "PredictorSearch"
    assert method("space=fbnetv3", "method=random") == "RandomSearch"
    assert method("arch=fbnetc_100", "recipe_space=small_images") == "PredictorSearch"
    assert own_method("train", ["space=fbnetv3"]) == ["space=fbnetv3"]
    assert own_method("search", ["resume=x", "space=fbnetv3"]) == ["resume=x", "space=fbnetv3"]
    with pytest.raises(ValueError, match="have different methods of their own"):
        own_method("search", ["space=fbnet,fbnetv3", "--multirun"])


def test_what_makes_no_sense_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "needs a layer-wise space" in refused(capsys, "space=fbnetv3", "method=single_path")
    assert "search recipes with method=predictor" in refused(capsys, "recipe_space=small_images")
    assert "budget macs=5 is out of reach: networks" in refused(capsys, "budget.macs=5")
    assert "arch= leaves only recipes to search" in refused(capsys, "arch=fbnetc_100")
    assert "budget macs=5 is out of reach: networks" in refused(capsys, "space=fbnetv3", "budget.macs=5")
    assert "search.trials must be at least 1" in refused(capsys, "space=fbnetv3", "search.trials=0")
    assert "recipe_space.lr" in refused(capsys, "space=fbnetv3", "recipe_space=small_images", "recipe_space.lr=[0]")
    assert list(tmp_path.iterdir()) == []


def complete(run: Path) -> int:
    """Candidates trained so far, read from the outside."""
    if not (run / "trials.db").exists():
        return 0
    try:
        with sqlite3.connect(f"file:{run / 'trials.db'}?mode=ro", uri=True) as database:
            return int(database.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def outcome(run: Path) -> dict[str, Any]:
    trials = json.loads((run / "trials.json").read_text())
    for trial in trials:
        trial["figures"].pop("train_seconds")
        trial.pop("digest", None)  # over the seconds too
    metrics = [{k: v for k, v in r.items() if k != "time"} for r in read_metrics(run) if r["phase"] == "search"]
    return {"trials": trials, "metrics": metrics}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_search_loses_only_what_was_under_way(tmp_path: Path) -> None:
    settings = ["space=fbnet", "method=predictor", *SMALL, "budget.tolerance=100", "executor.workers=2"]
    finish(tmp_path, *settings, "run_dir=whole")
    kill_when(start(tmp_path, *settings, "run_dir=part"), lambda: complete(tmp_path / "part") >= 4)
    before = complete(tmp_path / "part")
    finish(tmp_path, "resume=part")
    assert 4 <= before <= complete(tmp_path / "part") == 8
    assert outcome(tmp_path / "part") == outcome(tmp_path / "whole")
    result = json.loads((tmp_path / "whole" / "result.json").read_text())
    assert result["trials"] == 8 and result["weights"] == "from scratch" and result["top1_percent"] > 0
    assert result["estimated_latency_ms"] <= result["limit_latency_ms"]
    assert (tmp_path / "whole" / "report.html").exists() and (tmp_path / "whole" / "model").is_dir()
    done = subprocess.run(
        [sys.executable, "-m", "nas.derive", "run=whole", "budget.fraction=0.8", "count=2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "whole").glob("derived-*ms")
    assert {path.name for path in folder.glob("*.json")} >= {"arch.json", "arch-2.json", "recipe.json", "recipe-2.json"}
    before = [r for r in read_metrics(tmp_path / "part") if r["phase"] == "search"]
    finish(tmp_path, "resume=part", "search.trials=10")  # a finished search goes on
    assert complete(tmp_path / "part") == json.loads((tmp_path / "part" / "result.json").read_text())["trials"] == 10
    assert [r for r in read_metrics(tmp_path / "part") if r["phase"] == "search"][:8] == before


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fbnetv3_on_digits(tmp_path: Path) -> None:
    """From nothing, with the table: archs and recipes under a latency budget, one network handed over."""
    finish(
        tmp_path,
        "space=fbnetv3",
        "recipe_space=small_images",
        "data=digits",
        "budget.fraction=0.3",
        "budget.tolerance=100",
        "search.trials=10",
        "search.batch=5",
        "search.finalists=2",
        "search.epochs=2",
        "method.initial=5",
        "recipe.epochs=5",
        "executor.workers=2",
        "run_dir=run",
    )
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["method"] == "predictor" and result["measured_latency_ms"] > 0
    assert json.loads((tmp_path / "run" / "recipe.json").read_text()) == result["recipe"]
