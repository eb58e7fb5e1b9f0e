"""`nas.derive` on a run whose candidates inherit: networks with weights, for other budgets and another device."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nas
from nas.derive.__main__ import main
from nas.latency.device import Device
from nas.latency.tables.table import LatencyTable, Row, entries
from nas.methods.elastic import stored
from nas.runs.files import write_json
from nas.runs.result_file import CLASSES
from search_spaces.families.single_path import single_path
from search_spaces.plain_data import identity
from search_spaces.plain_data.identity import Identity
from search_spaces.space import SearchSpace
from tests.methods.candidates.in_process import no_processes

pytestmark = pytest.mark.usefixtures("light_studies", "few_digits_in_all")

SPACE = ["space=single_path", "space.width=0.25", "space.head_channels=32", "space.resolution=8"]
PRETRAINING = ["pretraining.recipe.epochs=2", "pretraining.recipe.batch_size=64", "search.statistics=100"]
SEARCH = [*SPACE, "search.scorer=elastic", *PRETRAINING, "search.trials=3", "search.batch=3", "recipe.batch_size=64"]
ARCHS = single_path(8, 10, 1, width=0.25, head_channels=32)


def table_of(space: SearchSpace, name: str, path: Path, ms_per_mac: float, ms_per_layer: float) -> Path:
    """The file of a made-up table of another device."""
    priced = [(layer, shape, ms_per_mac * layer.cost(shape).macs + ms_per_layer) for layer, shape in entries(space)]
    rows = tuple(Row(layer, shape, ms, 0.0, 10, ms) for layer, shape, ms in priced)
    LatencyTable(space.name, Device(name), rows, 0.0, None).save(path)
    return path


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        no_processes(patch)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("derive")
    phone = table_of(ARCHS, "phone", folder / "phone.json", 1e-6, 0.001)
    nas.run_search(
        overrides=[*SEARCH, "method=random", "device=table", f"device.file={phone}", f"run_dir={folder / 'run'}"]
    )
    return folder / "run"


def derived(run: Path, *settings: str, out: Path) -> list[dict[str, Any]]:
    main([f"run={run}", "candidates=2", f"out={out}", *settings])
    found: list[dict[str, Any]] = json.loads((out / "derived.json").read_text())
    return found


def test_another_budget_gives_networks_with_weights(run: Path, tmp_path: Path) -> None:
    low, high = LatencyTable.load(run / "table.json").cost(ARCHS).reachable()
    limit = low + 0.4 * (high - low)
    first, second = derived(run, f"budget.latency_ms={limit}", "count=2", out=tmp_path / "out")
    assert first["estimated_latency_ms"] <= limit and second["estimated_latency_ms"] <= limit
    assert first["score"] >= second["score"] and first["score_is"] == "validation accuracy with inherited weights"
    supernet, _ = stored.load(run / stored.SUPERNET, ARCHS)
    for record, folder in ((first, "model"), (second, "model-2")):
        model = nas.create_model(tmp_path / "out" / folder)
        alone = supernet.extract(ARCHS.decode(record["genotype"]))
        for mine, theirs in zip(alone.parameters(), model.parameters(), strict=True):
            assert torch.equal(mine, theirs)
        evaluated = nas.evaluate_model(
            tmp_path / "out" / folder, data={"resolution": 8}, measure=False, run_dir=tmp_path / folder
        )
        assert evaluated.result["top1_percent"] == pytest.approx(record["top1_percent"])
    again = derived(run, f"budget.latency_ms={limit}", "count=2", out=tmp_path / "again")
    assert again == [first, second]


def test_new_candidates_are_scored_where_none_was_within(run: Path, tmp_path: Path) -> None:
    cost = LatencyTable.load(run / "table.json").cost(ARCHS)
    low, high = cost.reachable()
    trials = json.loads((run / "trials.json").read_text())
    records = trials["trials"] if isinstance(trials, dict) else trials
    genotypes = [record["genotype"] for record in records]
    limit = low + 0.05 * (high - low)
    assert (cost(np.array(genotypes)) > limit).all()
    (record,) = derived(run, f"budget.latency_ms={limit}", out=tmp_path / "out")
    assert record["genotype"] not in genotypes and record["estimated_latency_ms"] <= limit


def test_other_images_than_those_of_the_supernet_are_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may have been trained on what it would be judged by."""
    load = stored.load

    def of_others(checkpoint: Path, space: SearchSpace) -> tuple[Any, Identity]:
        supernet, trained = load(checkpoint, space)
        return supernet, {**trained, "data": "others"}

    monkeypatch.setattr(stored, "load", of_others)
    with pytest.raises(SystemExit):
        derived(run, "budget.macs=1000000", out=tmp_path / "other")
    said = capsys.readouterr().err
    assert 'data is "others", asked is' in said and "put back the images that it was trained on" in said


def test_another_supernet_than_that_of_the_scores_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of the same space and images, which a relative `search.supernet` finds in another folder."""
    load = stored.load

    def another(checkpoint: Path, space: SearchSpace) -> tuple[Any, Identity]:
        supernet, trained = load(checkpoint, space)
        with torch.no_grad():
            next(supernet.parameters()).mul_(1.5)
        return supernet, trained

    monkeypatch.setattr(stored, "load", another)
    with pytest.raises(SystemExit):
        derived(run, "budget.macs=1000000", out=tmp_path / "other")
    said = capsys.readouterr().err
    assert "weights is" in said and "put back the supernet that its search had" in said
    (run / stored.SCORED_BY).rename(run / "aside.json")  # a run from before that was kept
    derived(run, "budget.macs=1000000", out=tmp_path / "older")
    (run / "aside.json").rename(run / stored.SCORED_BY)


def test_another_device_by_its_table(run: Path, tmp_path: Path) -> None:
    board = table_of(ARCHS, "board", tmp_path / "board.json", 1e-7, 0.01)
    before, low = board.read_bytes(), LatencyTable.load(board).cost(ARCHS).reachable()[0]
    settings = ["device=table", f"device.file={board}", f"budget.latency_ms={1.4 * low}"]
    (record,) = derived(run, *settings, out=tmp_path / "out")
    own = LatencyTable.load(run / "table.json").cost(ARCHS)
    other = LatencyTable.load(board).cost(ARCHS)
    assert record["estimated_latency_ms"] == pytest.approx(float(other(record["genotype"])[0]))
    assert record["estimated_latency_ms"] != pytest.approx(float(own(record["genotype"])[0]))
    assert board.read_bytes() == before and LatencyTable.load(run / "table.json").device == Device("phone")
    assert record["measured_latency_ms"] is None and record["not_measured"]


def test_fine_tuning_goes_on_where_it_was_interrupted(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ["train.epochs=2", "candidates=1"]
    (expected,) = derived(run, *settings, out=tmp_path / "whole")
    from nas.train import training

    epoch = training.run_epoch

    def dies(run: Any, number: int, on_step: Any) -> Any:
        if number == 1:
            raise KeyboardInterrupt
        return epoch(run, number, on_step)

    monkeypatch.setattr(training, "run_epoch", dies)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        derived(run, *settings, out=tmp_path / "part")
    (kept,) = (tmp_path / "part" / "checkpoints").glob("train-*.pt")
    monkeypatch.setattr(training, "run_epoch", epoch)
    assert derived(run, *settings, out=tmp_path / "part") == [expected]
    assert expected["fine_tuned_epochs"] == 2 and kept.exists()


def test_another_derivation_into_the_same_folder(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other epochs, and fewer networks: nothing of the one before is in the way, or stays beside it."""
    assert len(derived(run, "train.epochs=1", "count=2", out=tmp_path / "out")) == 2
    assert "called otherwise" not in capsys.readouterr().out
    kept = run / "checkpoints" / CLASSES  # by the search, of classes that have other names since
    names, whole = [f"digit {label}" for label in range(10)], kept.read_text()
    write_json(kept, {"names": names, "digest": identity.digest(names)})
    (one,) = derived(run, "train.epochs=2", out=tmp_path / "out")
    kept.write_text(whole)
    assert "outputs: 'digit 0' is '0' now, 'digit 1' is '1' now" in " ".join(capsys.readouterr().out.split())
    assert one["fine_tuned_epochs"] == 2
    assert sorted(path.name for path in (tmp_path / "out").glob("model*")) == ["model"]


def test_candidates_that_score_alike_are_no_lesson(run: Path, tmp_path: Path) -> None:
    """A predictor has nothing to learn from one of them: others are asked as a search asks."""
    table, supernet = run / "table.json", run
    one = tmp_path / "one"
    settings = ["method=predictor", f"search.supernet={supernet}", "search.trials=1", f"run_dir={one}"]
    words = [word for word in SEARCH if not word.startswith(("search.trials", "search.batch", "pretraining"))]
    nas.run_search(overrides=[*words, *settings, "device=table", f"device.file={table}"])
    found = derived(one, "count=2", out=tmp_path / "out")
    assert len(found) == 2


def test_runs_without_inherited_weights_are_not_fine_tuned(tmp_path: Path) -> None:
    from nas.derive.setup import DeriveSetup, FinishedSearch
    from search_spaces.memory.counted import Counted

    search = FinishedSearch(tmp_path, ARCHS, None, None, None, {}, None, 0, Counted())  # type: ignore[arg-type]
    from nas.derive.budget import BudgetRequest

    with pytest.raises(ValueError, match="train.epochs fine-tunes weights that are inherited"):
        DeriveSetup(search, BudgetRequest(None, None, None, None, None, 0.0, 1), None, 1, 0.9, False, 0, None, epochs=1)


def test_the_fine_tuning_learns_from_a_teacher(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is asked for; where none is, the search's own; `none` is nobody."""
    teacher = derived(run, "candidates=1", out=tmp_path / "teacher") and str(tmp_path / "teacher" / "model")
    seen: list[Any] = []

    def trained(network: Any, data: Any, recipe: Any, **rest: Any) -> dict[str, float]:
        seen.append(rest["options"].distillation)
        return {"top1_percent": 1.0, "top5_percent": 2.0}

    monkeypatch.setattr("nas.derive.from_supernet.training.train", trained)
    derived(run, "train.epochs=1", f"teacher={teacher}", "distill_alpha=0.9", out=tmp_path / "a")
    assert (seen[-1].alpha, seen[-1].temperature, seen[-1].mean is None) == (0.9, 4.0, False)
    assert f"learn from {teacher}: 90% of the loss" in (tmp_path / "a" / "model" / "README.md").read_text()
    derived(run, "train.epochs=1", out=tmp_path / "b")
    assert seen[-1] is None
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("teacher: null", f"teacher: {teacher}"))
    try:
        derived(run, "train.epochs=1", out=tmp_path / "c")
        derived(run, "train.epochs=1", "teacher=none", out=tmp_path / "d")
    finally:
        (run / "config.yaml").write_text(config)
    assert (seen[-2].alpha, seen[-1]) == (0.5, None)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["teacher=."], "teacher=. teaches the fine-tuning of networks, and none is asked for: give train.epochs=N"),
        (["train.epochs=1", "distill_alpha=0.5"], "distill_alpha=0.5 is of no teacher: give teacher="),
        (["train.epochs=1", "teacher=none", "teacher_weights=w.pt"], "teacher_weights=w.pt are of no network"),
        (["train.epochs=1", "teacher=resnet18"], "the teacher resnet18 has no weights: give teacher_weights="),
    ],
)
def test_a_teacher_that_teaches_nothing_is_refused(
    run: Path, tmp_path: Path, settings: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        derived(run, *settings, out=tmp_path / "out")
    assert stop.value.code == 2 and words in capsys.readouterr().err and not (tmp_path / "out").exists()
