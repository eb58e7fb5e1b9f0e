"""A search killed at any moment and continued gives what an uninterrupted one gives, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nas.runs import checkpoint
from nas.runs.run import read_metrics
from tests.runs.killed_runs import finish, kill_when, same, start

SMALL = [
    "space.width=0.25",
    "space.head_channels=64",
    "method.epochs=3",
    "method.warmup_epochs=1",
    "recipe.epochs=3",
    "recipe.warmup_epochs=0",
    "method.mode=hard",
    "budget.tolerance=100",  # a second round would depend on what is measured
]


def outcome(run: Path) -> dict[str, object]:
    metrics = [{k: v for k, v in record.items() if k not in ("time", "train_seconds")} for record in read_metrics(run)]
    return {"theta": (run / "theta.json").read_text(), "arch": (run / "arch.json").read_text(), "metrics": metrics}


def test_same_compares_deeply() -> None:
    assert same({"a": [torch.ones(2), 1]}, {"a": [torch.ones(2), 1]})
    assert not same({"a": [torch.ones(2), 1]}, {"a": [torch.zeros(2), 1]})
    assert not same({"a": 1}, {"b": 1})


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_and_continued(tmp_path: Path) -> None:
    killed = start(tmp_path, *SMALL, "run_dir=in_table")
    journal = tmp_path / "latency_tables"
    kill_when(killed, lambda: journal.is_dir() and any(p.stat().st_size > 2000 for p in journal.iterdir()))
    finish(tmp_path, "resume=in_table")  # leaves the table that the others share

    finish(tmp_path, *SMALL, "run_dir=whole")
    expected = outcome(tmp_path / "whole")
    weights = checkpoint.load(tmp_path / "whole" / "checkpoints" / "train.pt")
    assert [record["phase"] for record in read_metrics(tmp_path / "whole")] == ["search"] * 3 + ["train"] * 3

    def recorded(name: str, phase: str, count: int) -> Callable[[], bool]:
        return lambda: sum(record["phase"] == phase for record in read_metrics(tmp_path / name)) >= count

    for name, phase, count in (("in_search", "search", 1), ("in_theta", "search", 2), ("in_training", "train", 1)):
        killed = start(tmp_path, *SMALL, f"run_dir={name}")
        kill_when(killed, recorded(name, phase, count))
        finish(tmp_path, f"resume={name}")
        assert outcome(tmp_path / name) == expected, name
        found = checkpoint.load(tmp_path / name / "checkpoints" / "train.pt")
        assert same(found, weights), name
        assert len(json.loads((tmp_path / name / "env.json").read_text())["resumed"]) == 1
