"""Trainings that are interrupted, diverge, or are continued."""

from __future__ import annotations

import dataclasses
import errno
import math
import os
import resource
import signal
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.data import ImageData, Split
from nas.data.split import MemorySource
from nas.runs import checkpoint as checkpoints
from nas.runs.keeping import stopping
from nas.runs.keeping.keeper import step_file
from nas.runs.keeping.settings import Keeping
from nas.runs.resuming import MAY_CHANGE
from nas.train.training import Options, build_network, evaluate, finished_epochs, steps_per_epoch, train
from search_spaces.arch import Arch
from tests.runs.killed_runs import damage
from tests.train.test_training import RECIPE, same

RECIPES = {
    "sgd": RECIPE,
    "everything": dataclasses.replace(
        RECIPE,
        optimizer="rmsproptf",
        lr=0.005,
        warmup_epochs=1,
        ema_decay=0.9,
        mixup=0.2,
        cutmix=0.5,
        drop_rate=0.2,
        drop_path_rate=0.1,
        clip_grad=1.0,
        schedule="step",
        decay_rate=0.9,
        augment="crop_flip_erase",
        zero_init_residual=True,
    ),
    "adamw": dataclasses.replace(RECIPE, optimizer="adamw", lr=0.005, drop_rate=0.1),
}


EVERY_STEP = Keeping(minutes=1e-9)


class Stopped(Exception):
    """What an interruption raises in these tests."""


@pytest.mark.parametrize("name", RECIPES)
def test_resume_is_bit_for_bit(name: str, arch: Arch, data: ImageData, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    plain = build_network(arch, recipe, seed=1)
    expected = train(plain, data, recipe, seed=1, options=Options(tmp_path / "whole.pt"))

    def stop(epoch: int, record: dict[str, float]) -> None:
        if epoch > begun:
            raise Stopped

    for begun in range(recipe.epochs - 1):  # interrupted in the second epoch it does, each time in a fresh network
        torch.manual_seed(begun)
        network = build_network(arch, recipe, seed=99 if begun else 1)
        with pytest.raises(Stopped):
            train(network, data, recipe, seed=1, options=Options(tmp_path / "cut.pt", on_epoch=stop))
        assert finished_epochs(tmp_path / "cut.pt") == begun + 1
    train(build_network(arch, recipe, seed=97), data, recipe, seed=1, options=Options(tmp_path / "cut.pt"))
    network = build_network(arch, recipe, seed=98)
    steps: list[int] = []
    found = train(network, data, recipe, seed=1, options=Options(tmp_path / "cut.pt", on_step=steps.append))
    assert not steps
    assert same(dict(plain.state_dict()), dict(network.state_dict()))
    whole, cut = (checkpoints.load(tmp_path / f"{name}.pt") for name in ("whole", "cut"))
    for state in (whole, cut):
        state["progress"].pop("seconds")
    assert same(whole, cut)
    for figures in (expected, found):
        figures.pop("train_seconds")
    assert expected == found


def test_left_behind_any_step_and_taken_up_again(
    arch: Arch, data: ImageData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM behind some steps, kills behind others whose newest state is damaged then: the end is the same."""
    recipe = dataclasses.replace(RECIPES["everything"], batch_size=44)  # 5 steps an epoch
    plain, path = build_network(arch, recipe, seed=1), tmp_path / "cut.pt"
    expected = train(plain, data, recipe, seed=1, options=Options(tmp_path / "whole.pt"))
    steps, pieces = list[int](), 0

    def at_signal(done: int) -> None:
        steps.append(done)
        if len(steps) == 2:  # behind the next one it ends
            stopping.ask(signal.SIGTERM)

    def at_kill(done: int) -> None:
        steps.append(done)
        if len(steps) == 3:  # the one before it is kept
            raise Stopped

    def piece(options: Options, ends: type[BaseException] | None) -> dict[str, float] | None:
        steps.clear()
        torch.manual_seed(pieces)
        np.random.seed(pieces)
        network = build_network(arch, recipe, seed=1)
        with pytest.raises(ends) if ends else nullcontext():
            found = train(network, data, recipe, seed=1, options=options)
        if ends is not None:
            return None
        assert same(dict(plain.state_dict()), dict(network.state_dict()))
        return found

    while pieces < 3:
        piece(Options(path, on_step=at_signal), stopping.Terminated)
        pieces += 1
        assert len(steps) == 3 and step_file(path).exists()
        piece(Options(path, on_step=at_kill, keeping=EVERY_STEP), Stopped)
        damage(step_file(path))
    found = piece(Options(path), None)
    assert "cut.step.pt is damaged" in (said := capsys.readouterr().out) and "going on from" in said
    assert steps_per_epoch(data, recipe) == 5 and [file.stem for file in tmp_path.glob("cut.step*")] == [
        "cut.step.damaged"
    ]
    whole, cut = (checkpoints.load(tmp_path / f"{name}.pt") for name in ("whole", "cut"))
    for state in (whole, cut):
        state["progress"].pop("seconds")
    assert same(whole, cut) and found is not None
    assert {**expected, "train_seconds": 0} == {**found, "train_seconds": 0}


@pytest.mark.parametrize("fault", ["full", "read only"])
def test_a_step_that_cannot_be_kept(
    fault: str, arch: Arch, data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error that names the file; what was kept before stays, and the training goes on from there."""
    whole, path = build_network(arch, RECIPE), tmp_path / "a.pt"
    expected = train(whole, data, RECIPE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    done: list[int] = []

    def refused(*arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def fail(steps: int) -> None:
        done.append(steps)
        if len(done) == 8:  # of 5 an epoch
            if fault == "full":
                resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
            else:
                monkeypatch.setattr(tempfile, "mkstemp", refused)

    try:
        with pytest.raises(OSError, match=r"File too large|Read-only file system") as caught:
            train(build_network(arch, RECIPE), data, RECIPE, options=Options(path, on_step=fail, keeping=EVERY_STEP))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        monkeypatch.undo()
    assert "a.step" in str(caught.value.filename) and checkpoints.load(step_file(path))["within"]["step"] == 2
    again = build_network(arch, RECIPE, seed=5)
    assert train(again, data, RECIPE, options=Options(path))["loss"] == expected["loss"]
    assert same(dict(whole.state_dict()), dict(again.state_dict()))


def test_resume_within_an_epoch_starts_that_epoch_again(arch: Arch, data: ImageData, tmp_path: Path) -> None:
    network = build_network(arch, RECIPE)
    expected = train(network, data, RECIPE)
    done = 0

    def stop(steps: int) -> None:
        nonlocal done
        done += steps
        if done == 7:  # of 5 an epoch
            raise Stopped

    with pytest.raises(Stopped):
        train(build_network(arch, RECIPE), data, RECIPE, options=Options(tmp_path / "a.pt", on_step=stop))
    assert finished_epochs(tmp_path / "a.pt") == 1
    again = build_network(arch, RECIPE, seed=5)
    found = train(again, data, RECIPE, options=Options(tmp_path / "a.pt"))
    assert found["loss"] == expected["loss"]
    assert same(dict(network.state_dict()), dict(again.state_dict()))


@pytest.mark.parametrize("step", [2, 8])  # in the first and in the second epoch
def test_loss_that_is_no_number(step: int, arch: Arch, data: ImageData, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    network = build_network(arch, RECIPE)
    calls = 0

    def poison(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        nonlocal calls
        calls += module.training
        return output * math.nan if calls == step and module.training else output

    network.register_forward_hook(poison)
    with pytest.raises(ValueError, match=rf"the loss is nan in epoch {1 + step // 5}, step {step % 5}: .* lower"):
        train(network, data, RECIPE, options=Options(path))
    assert calls == step
    assert path.exists() == (step > 5)
    if path.exists():  # the good epoch is there to go on from
        assert all(bool(torch.isfinite(value).all()) for value in checkpoints.load(path)["network"].values())
        again, whole = build_network(arch, RECIPE), build_network(arch, RECIPE)
        assert train(again, data, RECIPE, options=Options(path))["loss"] == train(whole, data, RECIPE)["loss"]


def test_a_lower_learning_rate_cures_and_more_epochs_continue(arch: Arch, data: ImageData, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    recipe = dataclasses.replace(RECIPE, schedule="constant", epochs=1, warmup_epochs=0)
    train(build_network(arch, recipe), data, recipe, options=Options(path))
    longer = dataclasses.replace(recipe, epochs=2)
    found = train(build_network(arch, recipe), data, longer, options=Options(path, MAY_CHANGE))
    assert found["loss"] == train(build_network(arch, recipe), data, longer)["loss"]  # a schedule without an end
    lower = dataclasses.replace(longer, epochs=3, lr=0.001)
    records: list[dict[str, float]] = []
    train(
        *(build_network(arch, recipe), data, lower),
        options=Options(path, MAY_CHANGE, on_epoch=lambda _, record: records.append(record)),
    )
    assert [record["lr"] for record in records] == [0.001]
    for change, name in (({"schedule": "cosine"}, "schedule"), ({"augment": "none"}, "augment")):
        with pytest.raises(ValueError, match=f"recipe.{name} is "):
            changed = dataclasses.replace(lower, epochs=4, **change)
            train(build_network(arch, recipe), data, changed, options=Options(path, MAY_CHANGE))


def test_diverging_learning_rate_is_reported(arch: Arch, data: ImageData) -> None:
    recipe = dataclasses.replace(RECIPE, lr=1e30, schedule="constant")
    with pytest.raises(ValueError, match=r"lower the recipe's lr \(1e\+30\)"):
        train(build_network(arch, recipe), data, recipe)


def test_checkpoint_of_another_run_is_refused(arch: Arch, data: ImageData, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    recipe = dataclasses.replace(RECIPE, epochs=1)
    train(build_network(arch, recipe), data, recipe, options=Options(path))
    before = path.read_bytes()
    for changes, message in (
        ({"seed": 3}, "seed is 0, asked is 3; give the same"),
        ({"recipe": dataclasses.replace(recipe, lr=0.1)}, "recipe.lr is 0.05, asked is 0.1"),
        ({"options": Options(path, phase="fine_tune")}, 'phase is "train"'),
        ({"data": data.held_out(0.5, 0)}, "data is "),
    ):
        given = {"data": data, "recipe": recipe, "options": Options(path), **changes}
        with pytest.raises(ValueError, match=message):
            train(build_network(arch, recipe), **given)
    pixels = torch.ones_like(data.train.source.images)  # replaced by others of the same name, number and labels
    source = MemorySource(data.train.source.images + pixels)
    others = Split(source, data.train.indices, data.train.labels, data.train.mean, data.train.std, data.resolution)
    with pytest.raises(ValueError, match="data is "):
        train(build_network(arch, recipe), dataclasses.replace(data, train=others), recipe, options=Options(path))
    stem = dataclasses.replace(arch.stages[0][0], act="relu6")  # the same weights fit
    other = dataclasses.replace(arch, stages=((stem,), *arch.stages[1:]))
    with pytest.raises(ValueError, match="arch is "):
        train(build_network(other, recipe), data, recipe, options=Options(path))
    with pytest.raises(ValueError, match="is finished, and what is finished keeps its settings: recipe.lr is 0.05"):
        changed = dataclasses.replace(recipe, lr=0.1)
        train(build_network(arch, recipe), data, changed, options=Options(path, MAY_CHANGE))
    assert path.read_bytes() == before
    checkpoints.save(path, {"format": "something else"})
    with pytest.raises(ValueError, match="is not a training checkpoint"):
        finished_epochs(path)
    checkpoints.save(path, {"format": "nas.training", "progress": {"epoch": "a", "seconds": 0.0, "train_loss": 1.0}})
    with pytest.raises(ValueError, match="the progress: epoch must be a whole number >= 0, got 'a'"):
        finished_epochs(path)


def test_a_signal_while_an_epoch_is_looked_at_keeps_its_steps(
    arch: Arch, data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, path = build_network(arch, RECIPE), tmp_path / "a.pt"
    expected = train(whole, data, RECIPE)

    def ended(*arguments: object, **options: object) -> None:
        raise stopping.Terminated

    monkeypatch.setattr("nas.train.training.evaluate", ended)
    with pytest.raises(stopping.Terminated):
        train(build_network(arch, RECIPE), data, RECIPE, options=Options(path, evaluate_every=1))
    monkeypatch.undo()
    assert not path.exists() and checkpoints.load(step_file(path))["within"]["step"] == 5
    again, looked = build_network(arch, RECIPE, seed=5), list[dict[str, float]]()
    options = Options(path, evaluate_every=1, on_epoch=lambda epoch, record: looked.append(record))
    found = train(again, data, RECIPE, options=options)
    assert found["loss"] == expected["loss"] and len(looked) == RECIPE.epochs
    assert same(dict(whole.state_dict()), dict(again.state_dict()))
    best = max(looked, key=lambda record: record["top1_percent"])  # the first of equals
    network = build_network(arch, RECIPE)
    network.load_state_dict(checkpoints.load_weights(tmp_path / "a.best.safetensors"))
    assert evaluate(network, data.test)["loss"] == pytest.approx(best["loss"])
