"""Searches whose last step is a contest: what they hand over, and that a kill in any rung changes nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import nas
from nas.derive.within_budget import Derived, Timed
from nas.methods.candidates.executors.base import Done, Work
from nas.methods.candidates.executors.local import LocalExecutor
from nas.methods.candidates.training_job import train_candidate
from nas.networks.network import build_network
from nas.runs import checkpoint
from nas.runs.run import read_metrics
from nas.search.contest.entrants import Entrant
from nas.search.contest.of_search import _found, _others
from nas.search.contest.rung_job import train_rung
from nas.search.found import Found
from nas.search.references.reference import Reference
from nas.search.run import _leading
from nas.train import training
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe
from search_spaces.recipe_space import RecipeSpace
from search_spaces.wrappers.joint import JointSpace
from tests.methods.candidates.pretended import made_up_percent
from tests.methods.gradient_task import DATA, few_layers
from tests.runs.killed_runs import finish, kill_when, same, start

pytestmark = pytest.mark.usefixtures("light_studies")

SETTINGS: dict[str, Any] = {
    "space": few_layers(),
    "data": DATA,
    "method": "random",
    "latency": "off",
    "budget": {"fraction": None},
    "references": {"names": []},
    "search": {"trials": 12, "batch": 12},
    "recipe": Recipe(epochs=3, batch_size=32, lr=0.01, optimizer="adamw", augment="shift"),
    "derive": {"contest": 3, "rungs": [1, 2], "apart": 0.5},
    "accelerator": "cpu",
}
COMMAND = [  # of a process of its own
    *("space=fbnet", "space.width=0.25", "space.head_channels=32", "space.resolution=8", "latency=off"),
    *("space.candidates=[k3_e1,k3_e3,skip]", "method=random", "search.trials=4", "search.batch=4", "search.epochs=1"),
    *("budget.fraction=null", "recipe.epochs=3", "recipe.warmup_epochs=0", "recipe.batch_size=128", "accelerator=cpu"),
    *("executor.workers=2", "references.names=[]", "derive.contest=3", "derive.rungs=[1,2]"),
]


class Killed(BaseException):
    """Passes everything that handles errors, as a signal does."""


class Here:
    """Candidates score at once what follows from their id; rungs are trained in this process, which may be killed."""

    capacity = 2

    def __init__(self, work: Work, kill_at: list[int]) -> None:
        self.work, self.kill_at = work, kill_at
        self.waiting: list[tuple[int, Any]] = []

    def submit(self, key: int, job: Any) -> None:
        self.waiting.append((key, job))

    def wait(self, timeout_seconds: float) -> list[Done]:
        key, job = self.waiting.pop()
        if self.work is train_candidate:
            return [Done(key, {"top1_percent": made_up_percent(job.candidate), "epochs": 1, "train_seconds": 0.1})]
        result = train_rung(job)
        if self.kill_at and self.kill_at[0] == 0:
            self.kill_at.pop(0)
            raise Killed
        self.kill_at[:1] = [n - 1 for n in self.kill_at[:1]]
        return [Done(key, result)]


@pytest.fixture
def kill_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Before how many further results of rungs the process ends, each time anew; by default it is left alone."""
    monkeypatch.chdir(tmp_path)
    moments: list[int] = []

    @contextlib.contextmanager
    def here(self: LocalExecutor, work: Work) -> Iterator[Here]:
        yield Here(work, moments)

    monkeypatch.setattr(LocalExecutor, "open", here)
    return moments


def searched(**settings: Any) -> None:
    nas.run_search(**{**SETTINGS, **settings})


def outcome(run: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("result", "contest", "arch", "recipe", "derived"):
        stored = json.loads(Path(run, f"{name}.json").read_text())
        found[name] = without_times(stored)
    found["metrics"] = [without_times(record) for record in read_metrics(run)]
    return found


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        named = {key: without_times(kept) for key, kept in value.items()}
        return {key: kept for key, kept in named.items() if not key.endswith("seconds") and key not in TIMES}
    return [without_times(kept) for kept in value] if isinstance(value, list) else value


TIMES = ("time", "id", "digest")


def test_a_contest_killed_in_each_rung_ends_the_same(kill_at: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    goes_on = {"train": {"from_contest": True}}
    searched(run_dir="whole", **goes_on)
    said = capsys.readouterr().out
    assert "contest: 3 networks, 2 after 1 epoch, 1 after 2 epochs; 6 epochs of training in all, 2 times the 3" in said
    expected = outcome("whole")
    kill_at[:] = [1, 1, 0]  # in the first rung, behind what is left of it, in the second
    piece: dict[str, Any] = {"run_dir": "part", **goes_on}
    for _ in range(3):
        with pytest.raises(Killed):
            searched(**piece)
        piece = {"resume": "part"}
        for name in ("config.yaml", "checkpoints/config.yaml"):  # as of a run from before it could be said
            stored = Path("part", name)
            stored.write_text(stored.read_text().replace("  from_contest: true\n", ""))
    searched(**piece)
    assert not kill_at and outcome("part") == expected
    trained = [checkpoint.load(Path(run, "checkpoints/train.pt")) for run in ("whole", "part")]
    assert same(*trained)
    result = expected["result"]
    contest = result["contest"]
    assert contest["networks"][0]["arch"] == result["arch"] and len(contest["networks"]) == 3
    assert contest["score_is"] == "validation accuracy of its training as a candidate, %"
    winner = contest["networks"][0]
    assert winner["score"] == result["validation_top1_percent"] and winner["genotype"] == result["genotype"]
    scores = {network["name"]: network["score"] for network in contest["networks"]}
    assert scores["found-1"] > scores["found-2"] > scores["found-3"]
    genotypes = [network["genotype"] for network in contest["networks"]]
    assert all(sum(a != b for a, b in zip(x, y, strict=True)) >= 2 for x in genotypes for y in genotypes if x != y)
    assert len(list(Path("whole").glob("arch*.json"))) == 3
    # the winner's last epoch is trained with all images, on from where the contest left it
    assert [r["step"] for r in expected["metrics"] if r["phase"] == "train"] == [2]
    assert trained[0]["identity"]["begun"]["epochs"] == 2
    # what is derived later needs no contest
    shutil.rmtree("whole/checkpoints")
    Path("whole/contest.json").unlink()
    given = {key: SETTINGS[key] for key in ("space", "data", "recipe")}
    assert len(nas.derive_from("whole", count=2, **given).archs) == 2


def test_the_winner_is_trained_anew_with_all_images(kill_at: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    searched(run_dir="r")
    assert "8 epochs of training in all, 2.7 times the 3" in capsys.readouterr().out
    alike = training.build_network(Arch.load("r/arch.json"), SETTINGS["recipe"], seed=0)
    training.train(alike, DATA, SETTINGS["recipe"], seed=0)
    assert same(alike.state_dict(), checkpoint.load(Path("r/checkpoints/train.pt"))["network"])
    assert [r["step"] for r in read_metrics("r") if r["phase"] == "train"] == [0, 1, 2]


def test_a_contest_needs_a_training_and_several_networks(
    kill_at: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    short = dataclasses.replace(SETTINGS["recipe"], epochs=1)
    for settings, said in (
        ({"train": {"enabled": False}}, "train.enabled=false trains nothing"),
        ({"recipe": short}, "a training of 1 epochs cannot be cut; give train.epochs"),
        ({"derive": {"contest": 3, "rungs": [2, 4]}}, "derive.rungs ends at epoch 4, behind the 3 of the training"),
        ({"derive": {"contest": 1}}, "derive.contest must be 0, which switches it off, or >= 2 networks, got 1"),
    ):
        with pytest.raises(ValueError, match=said):
            searched(run_dir="r", **settings)


def test_switched_off_nothing_is_different(kill_at: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    searched(derive={"contest": 0}, train={"enabled": False}, run_dir="off")
    said = capsys.readouterr().out
    result = json.loads(Path("off/result.json").read_text())
    assert result["contest"] is None and not Path("off/contest.json").exists() and "contest" not in said
    assert "distance" not in json.loads(Path("off/derived.json").read_text())["identity"]


def test_references_take_part_where_one_may_be_handed_over(capsys: pytest.CaptureFixture[str]) -> None:
    space, recipe = few_layers(), SETTINGS["recipe"]
    first = Timed((0, 0, 0, 0), None, None)
    found = Found(Derived((first,), 1), 1.0, "ranking")
    references = (
        Reference("mine", 0.5, space.decode((1, 1, 1, 1))),
        Reference("same", None, space.decode(first.genotype)),
        Reference("mine again", None, space.decode((1, 1, 1, 1))),
    )
    asked: dict[str, Any] = {
        "best_of": "found",
        "method": SimpleNamespace(kind="candidates"),
        "problem": SimpleNamespace(space=JointSpace(space, RecipeSpace(recipe, ()))),
        "training": SimpleNamespace(epochs=None),
        "contestants": 1,
    }

    def others(found: Found, **changes: Any) -> list[Entrant]:
        setup: Any = SimpleNamespace(**{**asked, **changes})
        return _others(setup, found, references, {entrant.key for entrant in _found(setup, found)})

    assert others(found) == []
    (entrant,) = others(found, best_of="all")  # the others are the found network itself, and one that is there already
    assert (entrant.name, entrant.recipe, entrant.is_found) == ("mine x0.5", recipe, False)
    torch.manual_seed(0)
    inheriting = dataclasses.replace(found, inherit=lambda genotype: build_network(space.decode(genotype)))
    assert [one.name for one in others(inheriting, best_of="all")] == ["mine x0.5", "same"]  # it begins from scratch
    assert others(inheriting, best_of="all", method=SimpleNamespace(kind="supernet")) == []
    assert "a supernet that has seen the images that judge" in capsys.readouterr().out


def test_a_reference_that_is_called_as_a_found_network_does_not_take_its_place() -> None:
    mine = Reference("found-1", None, few_layers().decode((1, 1, 1, 1)))
    networks = [
        {"name": "found-1", "genotype": [0, 0, 0, 0], "arch": "its"},
        {"name": "found-1", "genotype": None, "arch": mine.arch.id},
    ]

    def leading(networks: list[dict[str, Any]]) -> tuple[Reference, ...]:
        outcome: Any = SimpleNamespace(contest={"winner": "found-1", "networks": networks})
        return _leading(outcome, (mine,))

    assert leading(networks) == () and leading(networks[::-1]) == (mine,)


@pytest.mark.slow
def test_a_process_killed_in_a_contest_goes_on(tmp_path: Path) -> None:
    """The real signal, with real workers."""
    finish(tmp_path, *COMMAND, "run_dir=whole")
    process = start(tmp_path, *COMMAND, "run_dir=part")
    kill_when(process, lambda: bool(list((tmp_path / "part/checkpoints").glob("contest-*/*.pt"))))
    assert not (tmp_path / "part" / "result.json").exists()
    finish(tmp_path, "resume=part")
    with contextlib.chdir(tmp_path):
        assert outcome("part") == outcome("whole")
