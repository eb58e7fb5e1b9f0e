"""Searches with a teacher: candidates, contests and the final training learn from it; it belongs to their scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nas.data.digits import digits
from nas.methods.candidates.training_job import TrainingJob, train_candidate
from nas.networks import model_folder
from nas.networks.model_card import About
from nas.runs import checkpoint
from nas.search.__main__ import main as search
from nas.search.contest.rung_job import RungJob, train_rung
from nas.train.__main__ import main as train_command
from nas.train.start.teacher import Teacher
from nas.train.training import Options, build_network, train
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe
from tests.methods.candidates.in_process import no_processes
from tests.methods.candidates.pretended import digits_job, joint_space

BASE = Recipe(epochs=1, batch_size=64, lr=0.01)
SPACE = joint_space(BASE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of a teacher of the digits."""
    arch = SPACE.decode((0,) * len(SPACE.variables))
    return model_folder.write(
        tmp_path_factory.mktemp("teacher") / "t", build_network(arch, BASE), About(data=digits(8))
    )


def job(teacher: Teacher | None) -> TrainingJob:
    return dataclasses.replace(digits_job(SPACE, "a", (0,) * len(SPACE.variables), 0.2), teacher=teacher)


def test_candidates_learn_from_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    told = Teacher("t", alpha=0.9).pinned(digits(8))
    assert Path(told.name).is_absolute()  # for workers in other folders
    monkeypatch.chdir("/")
    found, again, alone = (train_candidate(job(teacher))["train_loss"] for teacher in (told, told, None))
    assert found == again != alone
    with pytest.raises(ValueError, match="no longer the one that the search began with"):
        train_candidate(job(dataclasses.replace(told, digest="another")))


def test_a_rung_is_the_beginning_of_the_training_that_goes_on(folder: Path, tmp_path: Path) -> None:
    told, plain = Teacher(str(folder)).pinned(digits(8)), job(None)
    recipe = dataclasses.replace(BASE, epochs=2)
    common = {
        name: getattr(plain, name) for name in ("arch", "data", "fingerprint", "seed", "accelerator", "precision")
    }
    rung = RungJob(
        **common,
        recipe=recipe.to_dict(),
        validation_fraction=0.2,
        stop_epoch=1,
        checkpoint=str(tmp_path / "rung.pt"),
        teacher=told,
    )
    train_rung(rung)
    kept = checkpoint.load(tmp_path / "rung.pt")
    data = digits(8).held_out(0.8, 0)
    network = build_network(Arch.from_dict(plain.arch), recipe)
    options = Options(tmp_path / "own.pt", stop_epoch=1, distillation=told.distillation(data))
    train(network, data, recipe, options=options)
    own = checkpoint.load(tmp_path / "own.pt")
    assert kept["identity"] == own["identity"] and "distillation" in kept["identity"]
    assert all(torch.equal(kept["network"][name], value) for name, value in own["network"].items())


@pytest.mark.parametrize(
    "settings",
    [
        ["space=fbnet", "train.enabled=false"],
        ["space=fbnet", "train.epochs=0", "method=random", "search.scorer=elastic"],
        ["space=single_path", "method=random", "search.scorer=elastic"],
    ],
)
def test_a_search_that_would_not_ask_it_refuses_it(
    folder: Path, settings: list[str], tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        search([*settings, "data.resolution=8", "references.names=[]", f"teacher={folder}"])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count("\n") == 1
    assert "supernets learn from labels alone; give train.epochs=N, or leave teacher= out" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        (search, "distill_alpha=0.9"),
        (search, "teacher_weights=w.pt"),
        (train_command, "distill_temperature=2.0"),
    ],
)
def test_what_is_of_no_teacher_is_refused(
    command: Callable[[list[str]], object], setting: str, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    arch = ["arch=mobilenetv2_035"] if command is train_command else []
    with pytest.raises(SystemExit) as stop:
        command([*arch, "data.resolution=8", setting])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count("\n") == 1 and setting in said and "give teacher=" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_search_by_a_supernet_says_what_learns_from_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    no_processes(monkeypatch)
    short = ["space=single_path", "space.width=0.25", "space.head_channels=32", "space.resolution=8", "method=random"]
    short += ["search.scorer=elastic", "pretraining.recipe.epochs=1", "pretraining.recipe.batch_size=256"]
    short += ["search.statistics=200", "search.trials=1", "train.epochs=1", "recipe.batch_size=256"]
    short += ["latency=off", "budget.macs=300000", "references.names=[]", "accelerator=cpu"]
    search([*short, f"teacher={folder}", "run_dir=one"])
    said = capsys.readouterr().out
    assert "temperature 4; the supernet learns from labels alone" in said
    assert "distillation" in checkpoint.load(Path("one/checkpoints/train.pt"))["identity"]


@pytest.mark.slow
def test_the_command(folder: Path, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    no_processes(monkeypatch)
    short = ["space=fbnet", "space.width=0.25", "space.head_channels=32", "space.resolution=8", "method=random"]
    short += ["space.candidates=[k3_e1,skip]", "search.trials=1", "recipe.epochs=1", "recipe.batch_size=256"]
    short += ["latency=off", "budget.fraction=null", "references.names=[]", "accelerator=cpu"]
    search([*short, f"teacher={folder}", "run_dir=one"])
    assert f"networks learn from {folder}: 50% of the loss" in capsys.readouterr().out
    assert "distillation" in checkpoint.load(Path("one/checkpoints/train.pt"))["identity"]
    with pytest.raises(SystemExit):
        search(["resume=one", "distill_alpha=0.9"])
    assert "distill_alpha" in capsys.readouterr().err
