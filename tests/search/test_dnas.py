"""The search loop on a space small enough for seconds."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import conf
from nas import cards, checkpoint
from nas.data.digits import digits
from nas.engine import make_accelerator
from nas.integer_programme import best_under_budget
from nas.methods.base import SearchResult, Task
from nas.methods.dnas import DNAS, _State
from search_spaces import LayerwiseSpace
from search_spaces.additive import AdditiveCost
from search_spaces.fbnet import fbnet
from search_spaces.from_card import from_card

CARD = yaml.safe_load((Path(conf.__file__).parent / "method" / "dnas.yaml").read_text())
FULL = digits(8)
DATA = dataclasses.replace(FULL, train=FULL.train.subset(torch.arange(160)))


def small_space() -> LayerwiseSpace:
    return fbnet(8, 10, 1, width=0.25, head_channels=32, candidates=["k3_e1", "k5_e1_g2", "k3_e3", "skip"])


def method(**changes: Any) -> DNAS:
    tiny = {"epochs": 3, "warmup_epochs": 1, "batch_size": 64}
    return cards.build({**CARD, **tiny, **changes}, "method", {})


def task(folder: Path, share: float | None = 0.5, seed: int = 0) -> tuple[Task, list[dict[str, float]]]:
    space = small_space()
    cost = space.cost(lambda layer, shape: layer.cost(shape).macs / 1e4 + 1.1)
    low, high = cost.reachable()
    limit = None if share is None else low + share * (high - low)
    records: list[dict[str, float]] = []
    made = Task(
        space,
        DATA,
        cost,
        limit,
        seed,
        make_accelerator("cpu"),
        folder / "search.pt",
        lambda epoch, record: records.append({"epoch": epoch, **record}),
    )
    return made, records


def weights(result: SearchResult) -> dict[str, torch.Tensor]:
    assert result.inherit is not None
    return result.inherit([0] * 22).state_dict()


@pytest.mark.parametrize("mode", ["soft", "top2", "hard"])
def test_interrupted_search_continues_bit_for_bit(mode: str, tmp_path: Path) -> None:
    whole, records = task(tmp_path / "whole")
    expected = method(mode=mode).search(whole)
    part, again = task(tmp_path / "part")

    def stop_after_second(epoch: int, record: dict[str, float]) -> None:
        again.append({"epoch": epoch, **record})
        if epoch == 1:
            raise KeyboardInterrupt

    stopped = Task(**{**part.__dict__, "on_epoch": stop_after_second})
    with pytest.raises(KeyboardInterrupt):
        method(mode=mode).search(stopped)
    assert method(mode=mode).finished(part.checkpoint) == 2
    found = method(mode=mode).search(part)
    assert again == records
    for a, b in zip(found.probabilities, expected.probabilities, strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(torch.equal(a, b) for a, b in zip(weights(found).values(), weights(expected).values(), strict=True))


def test_other_seeds_give_other_searches(tmp_path: Path) -> None:
    first = method().search(task(tmp_path / "a", seed=0)[0])
    second = method().search(task(tmp_path / "b", seed=1)[0])
    assert any((a != b).any() for a, b in zip(first.probabilities, second.probabilities, strict=True))


def test_theta_is_frozen_in_warmup_and_gradients_stay_where_they_are_used(tmp_path: Path) -> None:
    problem, _ = task(tmp_path)
    state = _State(method(epochs=2), problem)
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
    """With accuracy out of the picture the constraint alone decides: expected latency falls to the limit, not below."""
    ends = {}
    for share in (0.1, None):
        problem, records = task(tmp_path / str(share), share)
        method(epochs=16, theta_lr=0.3, penalty=30.0, batch_size=160, mode="top2").search(problem)
        ends[share] = records[-1]["expected_latency_ms"], problem.limit_ms
    steered, limit = ends[0.1]
    free, _ = ends[None]
    assert limit is not None
    assert free > 1.1 * limit
    assert steered < limit + 0.25 * (free - limit)


def test_published_loss_runs_and_refuses_tables_below_a_millisecond(tmp_path: Path) -> None:
    problem, records = task(tmp_path, None)
    method(loss="fbnet").search(problem)
    assert all(np.isfinite(record["theta_loss"]) for record in records[1:])
    tiny = AdditiveCost.of_rows(0.01, tuple(row / 1e4 for row in problem.cost.rows))
    with pytest.raises(ValueError, match="needs LAT > 1 ms"):
        method(loss="fbnet").search(Task(**{**problem.__dict__, "cost": tiny}))


def test_diverging_search_says_where_and_keeps_the_last_good_epoch(tmp_path: Path) -> None:
    problem, _ = task(tmp_path)

    def poison(epoch: int, record: dict[str, float]) -> None:
        if epoch == 0:
            state = checkpoint.load(problem.checkpoint)
            name = next(name for name in state["supernet"] if name.endswith("classifier.weight"))
            state["supernet"][name][:] = float("nan")
            checkpoint.save(tmp_path / "poisoned.pt", state)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method().search(Task(**{**problem.__dict__, "on_epoch": poison}))
    poisoned = Task(**{**problem.__dict__, "checkpoint": tmp_path / "poisoned.pt"})
    with pytest.raises(
        ValueError, match=r"the search diverged: the weight loss is nan in epoch 2, step 1; lower method"
    ):
        method().search(poisoned)
    assert method().finished(poisoned.checkpoint) == 1


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


def test_checkpoint_of_another_space_is_refused(tmp_path: Path) -> None:
    problem, _ = task(tmp_path)
    method().search(problem)
    other = Task(**{**problem.__dict__, "space": fbnet(8, 10, 1, width=0.25, head_channels=64)})
    with pytest.raises(ValueError, match="checkpoint of another search"):
        method().search(other)


def test_a_space_written_as_yaml_is_searched(tmp_path: Path) -> None:
    problem, records = task(tmp_path)
    stages = [
        {"channels": 8, "depth": 2, "blocks": [{"kind": "inverted_residual", "kernel_size": [3, 5]}, {"kind": "skip"}]}
    ]
    ends = {"stem": {"out_channels": 8, "kernel_size": 3}, "head": {"out_channels": 16}}
    space = from_card(stages, **ends, resolution=8, num_classes=10, in_channels=1)
    assert isinstance(space, LayerwiseSpace)
    cost = space.cost(lambda layer, shape: layer.cost(shape).macs / 1e4)
    mine = dataclasses.replace(problem, space=space, cost=cost, limit_ms=None)
    result = method().search(mine)
    assert [len(row) for row in result.probabilities] == [3, 3]
    assert len(records) == 3
    assert result.inherit is not None
    assert result.inherit((0, 2)).arch == space.decode((0, 2))
