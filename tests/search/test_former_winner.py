"""A finished search that comes to another network: nothing of the former one is taken for its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nas.latency.measuring.network_time import NetworkTime
from nas.networks.creation import create_model
from nas.runs.run import read_metrics
from nas.search.__main__ import main as search
from search_spaces.arch import Arch
from tests.search.references.test_searches import SETTINGS, folder, measured  # noqa: F401

ALONE = ["references.names=[]", "recipe.epochs=2"]

pytestmark = pytest.mark.usefixtures("light_studies", "folder")


def result(run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(run, "result.json").read_text())
    return found


def test_another_network_has_a_training_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`derived.json` is removed, as a run from another machine advises, and the first network misses the budget."""
    search([*SETTINGS, "search.trials=24", "budget.fraction=0.5", *ALONE, "run_dir=moved"])
    before = result("moved")
    former, late = before["arch"], 1.21 * before["asked_latency_ms"]

    def slower(archs: list[Arch], *others: Any) -> list[NetworkTime]:
        return [NetworkTime(late, late, 0.0) if arch.id == former else measured([arch], *others)[0] for arch in archs]

    monkeypatch.setattr("nas.latency.measuring.networks.measure_networks", slower)
    Path("moved/derived.json").unlink()
    capsys.readouterr()
    search(["resume=moved"])
    said = " ".join(capsys.readouterr().out.split())
    assert result("moved")["arch"] == create_model("moved/model").arch.id != former
    assert "train.pt is of another network: kept as before-train.pt" in said and "lacks" not in said
    assert [record["step"] for record in read_metrics("moved") if record["phase"] == "train"] == [0, 1]


def test_the_found_network_beside_a_reference_goes_once_another_is_handed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asked for the found one again, and where the search goes on to another winner and is interrupted there."""
    from nas.train import training

    real = training.train

    def better(network: Any, *args: Any, **named: Any) -> dict[str, float]:
        is_plain = len(network.arch.layers) == 6
        return {**real(network, *args, **named), "top1_percent": 99.0 if is_plain else 50.0}

    monkeypatch.setattr(training, "train", better)
    both = ["references.names=[plain]", "references.train=true", "derive.best_of=all"]
    search([*SETTINGS, *both, "run_dir=handed"])
    assert result("handed")["found"]["arch"] == Arch.load("handed/found.json").id
    search(["resume=handed", "derive.best_of=found"])
    assert result("handed")["arch"] == Arch.load("handed/arch.json").id and not Path("handed/found.json").exists()
    search(["resume=handed", "derive.best_of=all"])
    assert result("handed")["handed_over"] and Path("handed/found.json").exists()
    monkeypatch.setattr(training, "train", interrupted)
    with pytest.raises(SystemExit):
        search(["resume=handed", "search.trials=24"])
    assert not any(Path("handed", name).exists() for name in ("found.json", "result.json", "model"))


def interrupted(*_: Any, **__: Any) -> dict[str, float]:
    raise KeyboardInterrupt


def test_a_receipt_of_another_network_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that comes to another network and is interrupted in its training."""
    from nas.train import training

    search([*SETTINGS, "search.trials=6", *ALONE, "run_dir=told"])
    before = result("told")
    other = [int(not before["genotype"][0]), *before["genotype"][1:]]
    Path("told/result.json").write_text(json.dumps({**before, "genotype": other}))
    Path("told/arch-2.json").write_text(Path("told/arch.json").read_text())
    monkeypatch.setattr(training, "train", interrupted)
    with pytest.raises(SystemExit):
        search(["resume=told"])
    left = {path.name for path in Path("told").iterdir()}
    assert not left & {"result.json", "report.html", "answers.json", "model", "arch-2.json"} and "before-model" in left
    assert not list(Path("told/figures").glob("*.*"))


def test_a_training_shorter_than_its_warmup_is_not_of_another_network(capsys: pytest.CaptureFixture[str]) -> None:
    """`train.epochs` leaves the warmup of the recipe out then."""
    longer = ["recipe.epochs=3", "recipe.warmup_epochs=2", "train.epochs=2", "references.names=[]"]
    search([*SETTINGS, *longer, "run_dir=warm"])
    capsys.readouterr()
    search(["resume=warm"])
    assert "is of another network" not in capsys.readouterr().out
    assert not Path("warm/checkpoints/before-train.pt").exists()
