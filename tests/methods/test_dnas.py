"""The search loop on a space small enough for seconds."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.derive.integer_programme import best_under_budget
from nas.methods.base import Task
from nas.methods.dnas import DNAS
from nas.methods.loops.dnas_state import DNASState
from search_spaces import LayerwiseSpace
from search_spaces.from_card import from_card
from search_spaces.pricing.additive import AdditiveCost
from tests.methods import gradient_task
from tests.methods.gradient_task import (
    DATA,
    Records,
    check_budget_steers,
    check_continues,
    check_divergence_is_named,
    few_layers,
)


def method(**changes: Any) -> DNAS:
    found = gradient_task.method("dnas", **changes)
    assert isinstance(found, DNAS)
    return found


def task(folder: Path, share: float | None = 0.5, seed: int = 0) -> tuple[Task, Records]:
    return gradient_task.task(folder, few_layers(expansions=(1, 3)), share, seed, per_layer_ms=1.1)


@pytest.mark.parametrize("mode", ["soft", "top2", "hard"])
def test_interrupted_search_continues_bit_for_bit(mode: str, tmp_path: Path) -> None:
    records = check_continues(lambda: method(mode=mode), lambda name: task(tmp_path / name, share=0.1))
    assert records[1]["multiplier"] > 0  # or a lost one would not be seen


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_batch_norms_do_not_decay(optimizer: str, tmp_path: Path) -> None:
    state = DNASState(method(weight_optimizer=optimizer, weight_decay=0.5), task(tmp_path)[0])
    decayed, spared = state.weight_optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.5, 0.0)
    norms = [m for m in state.supernet.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {id(p) for p in spared["params"]} == {id(p) for m in norms for p in m.parameters()}
    assert len(decayed["params"]) + len(spared["params"]) == len(list(state.supernet.parameters()))


def test_other_seeds_give_other_searches(tmp_path: Path) -> None:
    first = method().search(task(tmp_path / "a", seed=0)[0])
    second = method().search(task(tmp_path / "b", seed=1)[0])
    assert any((a != b).any() for a, b in zip(first.probabilities, second.probabilities, strict=True))


def test_theta_is_frozen_in_warmup_and_gradients_stay_where_they_are_used(tmp_path: Path) -> None:
    problem, _ = task(tmp_path)
    state = DNASState(method(epochs=2), problem)
    weight_split, theta_split = DATA.split_train(0.8, 0)
    before = state.theta.detach().clone()
    state.epoch(0, weight_split, theta_split)
    assert torch.equal(state.theta, before)
    images, labels = next(state._batches(theta_split, "theta", 1))
    kept = {name: p.detach().clone() for name, p in state.supernet.named_parameters()}
    state._theta_step(images, labels, 1.0, torch.Generator().manual_seed(0))
    assert all(p.grad is None and torch.equal(p, kept[name]) for name, p in state.supernet.named_parameters())
    assert all(p.requires_grad for p in state.supernet.parameters())
    assert not torch.equal(state.theta, before)
    moved = state.theta.detach().clone()
    state._weight_step(images, labels, 1.0, torch.Generator().manual_seed(0))
    assert state.theta.grad is None
    assert torch.equal(state.theta, moved)


def test_budget_steers_the_expected_latency(tmp_path: Path) -> None:
    changes = {"epochs": 16, "theta_lr": 0.3, "penalty": 30.0, "batch_size": 160, "mode": "top2"}
    check_budget_steers(lambda: method(**changes), lambda share: task(tmp_path / str(share), share))


def test_published_loss_runs_and_refuses_tables_below_a_millisecond(tmp_path: Path) -> None:
    problem, records = task(tmp_path, None)
    method(loss="fbnet").search(problem)
    assert all(np.isfinite(record["theta_loss"]) for record in records[1:])
    tiny = AdditiveCost.of_rows(0.01, tuple(row / 1e4 for row in problem.cost.rows))
    with pytest.raises(ValueError, match="needs LAT > 1 ms"):
        method(loss="fbnet").search(dataclasses.replace(problem, cost=tiny))


def test_diverging_search_says_where_and_keeps_the_last_good_epoch(tmp_path: Path) -> None:
    check_divergence_is_named(method, task(tmp_path)[0], ("supernet", "ends.classifier.weight"))


def test_result_is_within_the_budget(tmp_path: Path) -> None:
    problem, _ = task(tmp_path, 0.3)
    result = method().search(problem)
    assert problem.limit_ms is not None
    (genotype,) = best_under_budget(result.probabilities, problem.cost, problem.limit_ms)
    arch = problem.space.decode(genotype)
    assert sum(layer.cost(shape).macs / 1e4 + 1.1 for layer, shape in arch.walk()) <= problem.limit_ms


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup_epochs": 3}, "warmup_epochs must lie in 0..epochs-1, got 3 of 3"),
        ({"weight_fraction": 1.0}, "weight_fraction must lie between 0 and 1"),
        ({"theta_lr": 0.0}, "theta_lr must be > 0, got 0"),
        ({"mode": "all"}, "mode must be one of soft, top2, hard, got 'all'"),
    ],
)
def test_bad_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**changes)


def test_a_space_written_as_yaml_is_searched(tmp_path: Path) -> None:
    problem, records = task(tmp_path)
    stages = [
        {"channels": 8, "depth": 2, "blocks": [{"kind": "inverted_residual", "kernel_size": [3, 5]}, {"kind": "skip"}]}
    ]
    ends = {"stem": {"out_channels": 8, "kernel_size": 3}, "head": {"out_channels": 16}}
    space = from_card(stages, **ends, resolution=8, num_classes=10, in_channels=1)
    assert isinstance(space, LayerwiseSpace)
    cost = gradient_task.stand_in_ms(space)
    mine = dataclasses.replace(problem, space=space, cost=cost, limit_ms=None)
    result = method().search(mine)
    assert [len(row) for row in result.probabilities] == [3, 3]
    assert len(records) == 3
    assert result.inherit is not None
    assert result.inherit((0, 2)).arch == space.decode((0, 2))
