"""The Single-Path search loop on spaces small enough for seconds."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.derive.handover import read_decided, read_probabilities, write_probabilities
from nas.derive.integer_programme import best_under_budget
from nas.methods.base import Task
from nas.methods.loops.superkernel_training import DefaultTraining, PaperTraining, draw, dropout
from nas.methods.single_path import SinglePath
from nas.methods.supernets.superkernel import is_threshold
from search_spaces import LayerwiseSpace
from search_spaces.families.fbnet import fbnet
from search_spaces.families.single_path import single_path
from tests.methods import gradient_task
from tests.methods.gradient_task import (
    DATA,
    Records,
    check_budget_steers,
    check_continues,
    check_divergence_is_named,
    few_layers,
)

PAPER = {
    "mode": "paper",
    "weight_optimizer": "rmsproptf",
    "schedule": "step",
    "latency_weight": 1.0,
    "label_smoothing": 0.1,
}


def small_space(**changes: Any) -> LayerwiseSpace:
    return single_path(8, 10, 1, width=0.25, head_channels=32, **changes)


def method(**changes: Any) -> SinglePath:
    found = gradient_task.method("single_path", **changes)
    assert isinstance(found, SinglePath)
    return found


def task(
    folder: Path, share: float | None = 0.5, seed: int = 0, space: LayerwiseSpace | None = None
) -> tuple[Task, Records]:
    return gradient_task.task(folder, few_layers() if space is None else space, share, seed)


@pytest.mark.parametrize("changes", [{}, PAPER], ids=["default", "paper"])
def test_interrupted_search_continues_bit_for_bit(changes: dict[str, Any], tmp_path: Path) -> None:
    check_continues(lambda: method(**changes), lambda name: task(tmp_path / name, share=0.1))


def test_other_seeds_give_other_searches(tmp_path: Path) -> None:
    first = method().search(task(tmp_path / "a", seed=0)[0])
    second = method().search(task(tmp_path / "b", seed=1)[0])
    assert any((a != b).any() for a, b in zip(first.probabilities, second.probabilities, strict=True))


@pytest.mark.parametrize("name", ["kernels and se", "fbnet"])
def test_any_nesting_space(name: str, tmp_path: Path) -> None:
    spaces = {
        "kernels and se": lambda: small_space(kernels=(3, 5, 7), expansions=(2, 3, 6), se_ratios=(0, 0.25)),
        "fbnet": lambda: fbnet(
            8,
            10,
            1,
            width=0.25,
            head_channels=32,
            skip_at_shape_change=False,
            candidates=["k3_e1", "k3_e3", "k5_e1", "k5_e3", "skip"],
        ),
    }
    problem, records = task(tmp_path, space=spaces[name]())
    result = method(epochs=2).search(problem)
    assert [len(row) for row in result.probabilities] == [len(p.candidates) for p in problem.space.positions]
    assert all(row.sum() == pytest.approx(1) and (row > 0).all() for row in result.probabilities)
    assert len(records) == 2


@pytest.mark.parametrize("mode", ["top2", "hard"])
def test_supernets_search_the_space_too(mode: str, tmp_path: Path) -> None:
    problem, records = task(tmp_path, space=small_space(se_ratios=(0, 0.25)))
    result = gradient_task.method("dnas", mode=mode, epochs=2, batch_size=32).search(problem)
    assert np.isfinite(records[-1]["theta_loss"])
    assert all(row.sum() == pytest.approx(1) for row in result.probabilities)


def test_thresholds_rest_in_warmup_and_gradients_stay_where_they_are_used(tmp_path: Path) -> None:
    problem, _ = task(tmp_path)
    state = DefaultTraining(method(epochs=2, batch_size=32), problem)
    before = {name: p.detach().clone() for name, p in state.net.named_parameters()}
    state.epoch(0)
    for name, p in state.net.named_parameters():
        if is_threshold(name):
            assert torch.equal(p, before[name])
    assert any(not torch.equal(p, before[name]) for name, p in state.net.named_parameters())
    split = DATA.split_train(0.8, 0)[1]
    images, labels = next(state.batches(split, "thresholds", 1))
    kept = {name: p.detach().clone() for name, p in state.net.named_parameters()}
    state._threshold_step(images, labels, torch.Generator().manual_seed(0))
    moved = [name for name, p in state.net.named_parameters() if not torch.equal(p, kept[name])]
    assert moved and all(map(is_threshold, moved))
    assert all(p.grad is None and p.requires_grad for p in state.net.weights())


def test_budget_steers_the_expected_latency(tmp_path: Path) -> None:
    changes = {"epochs": 5, "threshold_lr": 0.5, "penalty": 30.0, "batch_size": 16, "weight_fraction": 0.3}
    check_budget_steers(lambda: method(**changes), lambda share: task(tmp_path / str(share), share))


def test_without_a_budget_lambda_presses_the_latency(tmp_path: Path) -> None:
    ends = []
    for weight in (0.0, 20.0):
        problem, records = task(tmp_path / str(weight), None)
        changes = {"threshold_lr": 0.5, "batch_size": 16, "weight_fraction": 0.3}
        method(epochs=2, latency_weight=weight, **changes).search(problem)
        ends.append(records[-1]["expected_latency_ms"])
    assert ends[1] < 0.8 * ends[0]


def test_paper_mode_is_full_until_the_latency_counts(tmp_path: Path) -> None:
    problem, records = task(tmp_path, None)
    state = PaperTraining(method(**PAPER), problem)
    assert state.net.decide() == tuple(
        block.nest.gene((True,), (True, True), False) for block in state.net.blocks
    )  # thresholds at 0: everything is used
    low, high = problem.cost.reachable()
    result = method(**PAPER).search(problem)
    assert records[0]["expected_latency_ms"] == pytest.approx(high, rel=1e-5)
    assert low <= records[-1]["expected_latency_ms"] <= high * (1 + 1e-6)
    assert all(np.isfinite(row).all() for row in result.probabilities)
    trained = PaperTraining(method(**PAPER), problem)
    trained.restore()
    assert result.decided == trained.net.decide()  # the published result: handed on beside the probabilities
    for decided in (result.decided, None):
        write_probabilities(tmp_path, problem.space, result.probabilities, decided)
        assert read_decided(tmp_path, problem.space) == decided
    assert len(read_probabilities(tmp_path, problem.space)) == len(result.probabilities)
    groups = state.optimizers["weights"].param_groups
    decayed = {id(p) for p in groups[0]["params"]}
    assert all(id(p) in decayed for p in state.net.thresholds() if p.numel())  # as published


def test_paper_mode_refuses_what_was_not_published(tmp_path: Path) -> None:
    problem, _ = task(tmp_path, space=small_space(se_ratios=(0, 0.25)))
    with pytest.raises(ValueError, match="paper has no squeeze-and-excitation"):
        method(**PAPER).search(problem)


def test_warmup_dropout_has_the_published_statistics() -> None:
    """Inner block: skip 40%, e3 24%, e6 36%; 5x5 60%; kept indicators count 1/0.6, so that R is unbiased."""
    scale = dropout(3 * 20000, 0.6, torch.Generator().manual_seed(0)).view(-1, 3)
    assert sorted(set(scale.flatten().tolist())) == pytest.approx([0, 1 / 0.6])
    on = scale > 0
    shares = [on[:, 0], ~on[:, 1], on[:, 1] & ~on[:, 2], on[:, 1] & on[:, 2]]
    np.testing.assert_allclose([float(s.float().mean()) for s in shares], [0.6, 0.4, 0.24, 0.36], atol=0.012)
    assert float(scale.mean()) == pytest.approx(1, abs=0.01)
    assert float(scale.prod(1).mean()) == pytest.approx(1, abs=0.06)


def test_default_warmup_draws_every_candidate_equally_often(tmp_path: Path) -> None:
    state = DefaultTraining(method(), task(tmp_path)[0])
    odds = state._odds(learn=False)
    noise = torch.Generator().manual_seed(0)
    drawn = np.array([draw(odds, state.sizes, noise) for _ in range(4000)])
    for column, size in zip(drawn.T, state.sizes.tolist(), strict=True):
        counts = np.bincount(column, minlength=size)
        assert len(counts) == size
        assert (np.abs(counts - 4000 / size) < 5 * (4000 / size) ** 0.5).all()


def test_step_schedule_is_the_published_staircase(tmp_path: Path) -> None:
    state = PaperTraining(method(**{**PAPER, "weight_lr": 0.064, "epochs": 8}), task(tmp_path)[0])
    steps = 1251
    rates = [state.learning_rate(epoch, step, steps) for epoch, step in ((0, 0), (2, 500), (2, 501), (7, 1250))]
    assert rates == pytest.approx([0.064, 0.064, 0.064 * 0.97, 0.064 * 0.97**3])
    assert math.isclose(rates[-1], 0.0584, rel_tol=1e-3)


def test_result_is_within_the_budget(tmp_path: Path) -> None:
    problem, _ = task(tmp_path, 0.25)
    result = method(epochs=2).search(problem)
    assert problem.limit_ms is not None
    cost = problem.cost
    found = best_under_budget(result.probabilities, cost, problem.limit_ms, 3)
    assert (cost(np.array(found)) <= problem.limit_ms).all()
    assert len(set(found)) == 3


def test_diverging_search_says_where_and_keeps_the_last_good_epoch(tmp_path: Path) -> None:
    check_divergence_is_named(method, task(tmp_path)[0], ("superkernel", "ends.classifier.weight"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup_epochs": 3}, "warmup_epochs must lie in 0..epochs-1, got 3 of 3"),
        ({"weight_fraction": 1.0}, "weight_fraction must lie between 0 and 1"),
        ({"threshold_lr": 0.0}, "threshold_lr must be > 0, got 0"),
        ({"keep_probability": 0.0}, "keep_probability must lie in"),
        ({"latency_weight": -1.0}, "latency_weight must be >= 0, got -1"),
        ({"label_smoothing": 1.0}, "label_smoothing must lie in"),
        ({"mode": "all"}, "mode must be one of default, paper, got 'all'"),
    ],
)
def test_bad_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**changes)
