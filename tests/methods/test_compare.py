"""The comparison harness: equal allowances, baselines always in, results that add up."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.compare import run as compare
from experiments.compare.report import interval
from experiments.compare.tasks import Allowance, MacroTable, Used, baselines


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["compare", *arguments])
    compare.main()


@pytest.mark.slow
def test_one_command_fills_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    arguments = ["--methods", "regularized_evolution", "--seeds", "2", "--trainings", "12", "--processes", "1"]
    call(monkeypatch, *arguments, "--macs-share", "0.5", "--out", str(out))
    records = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert {r["method"] for r in records} == {"random", "regularized_evolution", "largest", "uniform"}
    task = MacroTable(0.5)
    for record in records:
        assert record["trainings"] <= 12
        genotype = np.array([record["genotype"]])
        assert task.feasible.mask(genotype).all()
        assert record["top1_percent"] + record["regret_points"] == pytest.approx(task.best)
    assert (out / "best_so_far.png").stat().st_size > 1000
    before = (out / "results.jsonl").read_text()
    call(monkeypatch, *arguments, "--macs-share", "0.5", "--out", str(out))  # continued: nothing is left to do
    assert (out / "results.jsonl").read_text() == before


def test_the_largest_network_is_the_largest_and_uniform_ones_are_uniform() -> None:
    task = MacroTable(None)
    found = baselines(task)
    assert found["largest"].tolist() == [[2] * 8]
    assert found["uniform"].tolist() == [[0] * 8, [1] * 8, [2] * 8]


def test_allowances() -> None:
    with pytest.raises(ValueError, match="one positive allowance"):
        Allowance(10, 1e9)
    with pytest.raises(ValueError, match="one positive allowance"):
        Allowance(0)
    assert Allowance(macs=10.0).left(Used(0.0, 5, 9.0))
    assert not Allowance(macs=10.0).left(Used(0.0, 5, 10.0))


def test_interval_holds_the_mean() -> None:
    mean, low, high = interval([1.0, 2.0, 3.0, 4.0])
    assert mean == 2.5 and 1.0 <= low < 2.5 < high <= 4.0
