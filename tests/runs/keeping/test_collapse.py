"""What counts as a collapse, and what each policy does then."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.data import ImageData
from nas.data.digits import digits
from nas.methods.elastic import pretraining
from nas.methods.loops.alternating_state import AlternatingState
from nas.methods.loops.signs import signs, skip_share
from nas.runs import checkpoint as checkpoints
from nas.runs.keeping.collapse import Collapsed, Watch
from nas.runs.keeping.settings import Keeping, OnCollapse
from nas.train.training import Options, build_network, train
from search_spaces.arch import Arch
from search_spaces.families.hand_made.plain import plain
from search_spaces.recipe import Recipe
from tests.methods import gradient_task
from tests.methods.elastic.test_pretraining import SETTINGS
from tests.methods.gradient_task import few_layers

ROLL_BACK = Keeping(on_collapse="roll_back")
RECIPE = Recipe(epochs=3, batch_size=32, optimizer="sgd", lr=0.05, warmup_epochs=0, schedule="constant")


@pytest.fixture(scope="module")
def data() -> ImageData:
    full = digits(8)
    return dataclasses.replace(full, train=full.train.subset(torch.arange(160)))  # 5 steps an epoch


def arch() -> Arch:
    return plain("plain_conv4", 0.25, 8, 10, 1)


def poisoned(network: nn.Module, *steps: int) -> nn.Module:
    """`network`, whose outputs in these training steps, counted from 1, are no numbers."""
    calls = 0

    def poison(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        nonlocal calls
        calls += module.training
        return output * math.nan if module.training and calls in steps else output

    network.register_forward_hook(poison)
    return network


def test_a_training_goes_back_and_on_with_half_the_rate(data: ImageData, tmp_path: Path) -> None:
    records: list[dict[str, float]] = []

    def options(name: str, until: int = 9) -> Options:
        def on_epoch(epoch: int, record: dict[str, float]) -> None:
            if epoch == until:
                raise KeyboardInterrupt
            records.append({"epoch": epoch, "lr": record["lr"], "roll_backs": record.get("roll_backs", 0)})

        return Options(tmp_path / name, on_epoch=on_epoch, keeping=ROLL_BACK)

    whole = poisoned(build_network(arch(), RECIPE), 8, 12)
    expected = train(whole, data, RECIPE, options=options("whole.pt"))
    assert [record["epoch"] for record in records] == [0, 1, 2]
    assert [record["roll_backs"] for record in records] == [0, 2, 2]
    assert [record["lr"] for record in records] == pytest.approx([0.05, 0.0125, 0.0125])
    with pytest.raises(KeyboardInterrupt):
        train(poisoned(build_network(arch(), RECIPE), 8, 12), data, RECIPE, options=options("part.pt", until=2))
    found = train(build_network(arch(), RECIPE, seed=5), data, RECIPE, options=options("part.pt"))
    assert found["loss"] == expected["loss"] and math.isfinite(found["loss"])
    assert checkpoints.load(tmp_path / "part.pt")["progress"]["roll_backs"] == 2

    with pytest.raises(Collapsed, match="rolled back 3 times"):
        train(poisoned(build_network(arch(), RECIPE), *range(6, 99)), data, RECIPE, options=options("again.pt"))
    assert checkpoints.load(tmp_path / "again.pt")["progress"]["epoch"] == 1  # the last good one


def test_weights_that_are_not_finite_are_never_kept(data: ImageData, tmp_path: Path) -> None:
    """Behind a finite loss, too: in the last step of an epoch nothing else would tell."""
    network = build_network(arch(), RECIPE)
    path, steps = tmp_path / "a.pt", list[int]()

    def spoil(done: int) -> None:
        steps.append(done)
        if len(steps) == 10:
            with torch.no_grad():
                next(network.parameters())[:] = math.inf

    with pytest.raises(
        Collapsed, match="weights are no longer finite behind epoch 2, step 5: training diverged; lower"
    ):
        train(network, data, RECIPE, options=Options(path, on_step=spoil))
    assert checkpoints.load(path)["progress"]["epoch"] == 1


def test_a_search_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, calls = AlternatingState._weight_step, 0

    def poison(self: AlternatingState, *arguments: Any) -> Tensor:
        nonlocal calls
        calls += 1
        return step(self, *arguments) * (math.nan if calls == 2 else 1)

    monkeypatch.setattr(AlternatingState, "_weight_step", poison)
    problem, records = gradient_task.task(tmp_path, few_layers())
    method = gradient_task.method("dnas", mode="hard")
    method.search(dataclasses.replace(problem, keeping=ROLL_BACK))
    assert [record["epoch"] for record in records] == [0, 1, 2]
    assert {record["roll_backs"] for record in records} == {1}
    whole = [0.5 * method.weight_lr * (1 + math.cos(math.pi * epoch / 3)) for epoch in range(3)]
    assert [record["lr"] for record in records] == pytest.approx([0.5 * lr for lr in whole])


def test_pretraining_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, calls = pretraining._Pretraining._step, 0

    def poison(self: pretraining._Pretraining, *arguments: Any) -> Tensor:
        nonlocal calls
        calls += 1
        return step(self, *arguments) * (math.nan if calls in (1, 3) else 1)

    monkeypatch.setattr(pretraining._Pretraining, "_step", poison)
    made, records = gradient_task.task(tmp_path, few_layers(), None)
    pretraining.pretrain(SETTINGS, dataclasses.replace(made, keeping=ROLL_BACK))
    assert len(records) == SETTINGS.recipe.epochs
    assert checkpoints.load(made.checkpoint)["progress"]["roll_backs"] >= 1


@pytest.mark.parametrize("policy", ["auto", "warn", "stop", "roll_back"])
def test_back_at_chance(policy: OnCollapse, capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch(policy, "the training", 10, "lower lr")
    for loss in (2.3, 2.2, 2.3, 2.05, 2.2):  # it has not learnt yet; it has; it is worse
        watch.look(0, loss)
    if policy in ("auto", "warn"):
        watch.look(5, 2.3)
        watch.look(6, 2.3)
        words = (
            "NOTE: the training collapsed in epoch 6: its loss is 2.300, guessing has 2.303, and it was 2.050; lower lr"
        )
        assert capsys.readouterr().out.split("\n") == [words, ""]  # once
        with pytest.raises(Collapsed, match="wrong"):
            watch.roll_back(Collapsed("wrong"))
        return
    with pytest.raises(Collapsed, match=r"collapsed in epoch 6: .*; lower lr"):
        watch.look(5, 2.3)


def test_signs_of_a_search(tmp_path: Path) -> None:
    space = few_layers()
    problem, _ = gradient_task.task(tmp_path, space)
    assert problem.limit_ms is not None
    sizes = [len(variable) for variable in space.variables]
    even = tuple(np.full(size, 1 / size) for size in sizes)
    skips = [[layer.is_identity(p.shape) for layer in p.candidates] for p in space.positions]
    assert any(any(row) for row in skips)
    by_hand = [row[np.array(skip)].sum() for row, skip in zip(even, skips, strict=True) if any(skip)]
    assert skip_share(space, even) == pytest.approx(np.mean(by_hand))
    skipped = tuple(np.where(skip, 1.0, 0.0) if any(skip) else row for row, skip in zip(even, skips, strict=True))

    def kinds(taught: float, entropy: float, ratio: float, probabilities: Any = even) -> list[str]:
        record = {"normalised_entropy": entropy, "expected_latency_ms": ratio * problem.limit_ms}
        return [kind for kind, _ in signs(problem, 3, taught, record, probabilities)]

    assert kinds(0.2, 0.5, 3.0) == [] == kinds(0.9, 0.5, 1.4) == kinds(0.9, 0.01, 0.7)
    assert kinds(0.2, 0.01, 1.0) == ["entropy"]
    assert kinds(0.9, 0.5, 1.6) == ["latency"] == kinds(0.9, 0.5, 0.6)
    assert kinds(0.1, 0.5, 1.0, skipped) == ["skips"]
    assert kinds(0.0, 0.0, 9.0, skipped) == []  # in the warm-up nothing is decided
