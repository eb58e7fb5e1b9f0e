"""`nas.search` with candidates that inherit from a supernet: what it leaves, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import nas
from nas.methods.elastic import stored
from nas.methods.elastic.settings import Pretraining
from nas.runs import checkpoint as checkpoints
from nas.runs.run import read_metrics
from nas.search.__main__ import main as search
from nas.search.scoring import far_beyond
from search_spaces.families.mobile.space import mobile
from search_spaces.recipe import Recipe
from tests.methods.candidates.in_process import no_processes

pytestmark = pytest.mark.usefixtures("light_studies", "few_digits_in_all")

SPACE = ["space=single_path", "space.width=0.25", "space.head_channels=32", "space.resolution=8", "latency=off"]
SPACE += ["references.names=[]"]
PRETRAINING = ["pretraining.recipe.epochs=2", "pretraining.recipe.batch_size=64", "search.statistics=200"]
ELASTIC = [*SPACE, "method=random", "search.scorer=elastic", *PRETRAINING, "search.trials=3", "search.batch=3"]
BUDGET = 300_000


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        no_processes(patch)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("elastic") / "run"
    return nas.run_search(overrides=[*ELASTIC, f"budget.macs={BUDGET}", f"run_dir={folder}"])


def test_the_network_is_ready_without_a_training(run: Any) -> None:
    result, folder = run.result, run.run_dir
    assert result["weights"] == "inherited from the supernet" and result["train_seconds"] == 0
    assert result["scorer"] == "elastic" and result["pretrain_seconds"] > 0 and result["trials"] == 3
    assert result["budget_met"] and result["macs"] <= BUDGET
    model = nas.create_model(folder / "model")
    supernet, _ = stored.load(folder / stored.SUPERNET, run.setup.problem.space.architectures)
    alone = supernet.extract(run.arch)
    for (name, mine), theirs in zip(alone.named_parameters(), model.parameters(), strict=True):
        assert torch.equal(mine, theirs), name
    statistics = dict(model.named_buffers())
    assert not torch.equal(dict(alone.named_buffers())["bn1.running_mean"], statistics["bn1.running_mean"])
    phases = [record["phase"] for record in read_metrics(folder)]
    assert phases == ["pretrain"] * 2 + ["search"] * 3
    evaluated = nas.evaluate_model(folder, data={"resolution": 8}, measure=False)
    assert evaluated.result["top1_percent"] == pytest.approx(result["top1_percent"])


def test_another_search_takes_the_supernet(run: Any, tmp_path: Path) -> None:
    settings = [*ELASTIC, "budget.macs=200000", f"search.supernet={run.run_dir}", "train.epochs=1"]
    other = nas.run_search(overrides=[*settings, "recipe.epochs=3", f"run_dir={tmp_path / 'other'}"])
    assert other.result["pretrain_seconds"] == 0 and other.result["macs"] <= 200_000
    assert other.result["train_seconds"] > 0
    assert not (tmp_path / "other" / stored.SUPERNET).exists()
    for wrong, words in (
        ("seed=1", "the supernet of .* belongs to something else: data"),
        ("space.head_channels=48", "supernet of another space"),
        ("search.supernet=nowhere", "no supernet at"),
    ):
        with pytest.raises(ValueError, match=words):
            nas.run_search(overrides=[*settings, wrong, f"run_dir={tmp_path / 'wrong'}"])


def test_a_supernet_that_was_moved_is_known_by_its_weights(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A relative `search.supernet`, and a run that goes on below another folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run.run_dir, tmp_path / "mine")
    search([*ELASTIC, "budget.macs=200000", "search.supernet=mine", "run_dir=one"])
    (tmp_path / "mine").rename(tmp_path / "moved")
    with pytest.raises(SystemExit):
        search(["resume=one", "search.trials=4"])
    assert "resume=RUN search.supernet=ITS-NEW-PLACE" in capsys.readouterr().err
    state = checkpoints.load(tmp_path / "moved" / stored.SUPERNET)
    for weights in state["network"].values():
        weights.mul_(2)
    checkpoints.save(tmp_path / "other" / stored.SUPERNET, state)
    for wrong, words in (("other", "belongs to something else"), ("null", "a resumed run keeps its settings")):
        with pytest.raises(SystemExit):
            search(["resume=one", "search.trials=4", f"search.supernet={wrong}"])
        assert words in capsys.readouterr().err
    search(["resume=one", "search.trials=4", "search.supernet=moved"])
    assert json.loads(Path("one/result.json").read_text())["trials"] == 4
    capsys.readouterr()
    search(["resume=one"])  # it was kept


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["method=single_path", "latency=auto"], "search.scorer=elastic scores the candidates of a method"),
        (["recipe_space=small_images"], "searches no recipes"),
        (["search.stop_correlation=0.9", "search.trials=100"], "search.scorer=elastic has none"),
        (["space=fbnet"], "grouped convolutions do not nest.*search.scorer=training"),
        (["search.scorer=training", "search.supernet=x"], "add search.scorer=elastic"),
        (["search.scorer=training", "train.epochs=0"], "train.epochs=0 keeps the weights of an elastic supernet"),
        (["train.inherit=false", "train.epochs=0"], "train.epochs=0 keeps the weights of an elastic supernet"),
        (["+pretraining.recipe.ema_decay=0.9"], "ema_decay must be 0"),
        (["search.statistics=0"], "search.statistics"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_begins(
    settings: list[str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        nas.run_search(overrides=[*ELASTIC, *settings, f"run_dir={tmp_path / 'x'}"])
    assert not (tmp_path / "x").exists()


def test_the_report_and_the_receipt_say_what_scored(run: Any) -> None:
    stored = json.loads((run.run_dir / "result.json").read_text())
    assert stored["scorer"] == "elastic"
    page = (run.run_dir / "report.html").read_text()
    assert "3 candidates were scored with weights of the supernet" in page and "pretraining of the supernet" in page
    for title in ("pretrain: loss on the labels", "pretrain: accuracy on the training images, %"):
        _, _, panel = page.partition(f"<figcaption>{title}")
        assert "largest arch: " in panel and "smallest: " in panel and " at epoch 2<" in panel, title


def test_a_budget_far_below_the_largest_network_is_remarked_on() -> None:
    """Every step trains the largest: of the recommended space a thousand times what most budgets ask for."""
    cost = mobile(32, 10).count("macs")
    low, high = cost.reachable()
    whole = Pretraining(Recipe(epochs=1, batch_size=64, lr=0.005))
    said = far_beyond(whole, cost, 3e6)
    assert said is not None and f"about {high / 3e6:.3g} times the budget" in said
    most = float(said.split("pretraining.most=")[1].split()[0])
    assert low + most * (high - low) == pytest.approx(6e6, rel=0.05)
    assert far_beyond(dataclasses.replace(whole, most=most), cost, 3e6) is None
    assert far_beyond(whole, cost, high / 2) is None
