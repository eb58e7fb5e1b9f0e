"""The search of widths by gradient, and the exact choice of widths within a budget."""

from __future__ import annotations

import dataclasses
import itertools
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
from nas.methods.masking import Masking
from search_spaces.additive import AdditiveCost
from search_spaces.mobilenetv2_space import mobilenetv2
from search_spaces.rexnet_space import rexnet
from search_spaces.space import SearchSpace

CARD = yaml.safe_load((Path(conf.__file__).parent / "method" / "masking.yaml").read_text())
FULL = digits(8)
DATA = dataclasses.replace(FULL, train=FULL.train.subset(torch.arange(160)))


def widths_of(name: str) -> SearchSpace:
    if name == "mobilenetv2":
        return mobilenetv2(8, 10, 1, (0.25, 0.375), (1,), (3,), (6,), head_channels=32)
    return rexnet(8, 10, 1, widths=(0.02, 0.1), firsts=(8, 16))


def macs(space: SearchSpace) -> AdditiveCost:
    return space.cost(lambda layer, shape: layer.cost(shape).macs / 1e4)


def method(**changes: Any) -> Masking:
    return cards.build({**CARD, "epochs": 3, "warmup_epochs": 1, "batch_size": 64, **changes}, "method", {})


def task(folder: Path, name: str = "mobilenetv2", share: float | None = 0.5) -> tuple[Task, list[dict[str, float]]]:
    space = widths_of(name)
    cost = macs(space)
    low, high = cost.reachable()
    records: list[dict[str, float]] = []
    made = Task(
        space,  # type: ignore[arg-type]
        DATA,
        cost,
        None if share is None else low + share * (high - low),
        0,
        make_accelerator("cpu"),
        folder / "search.pt",
        lambda epoch, record: records.append({"epoch": epoch, **record}),
    )
    return made, records


def weights(result: SearchResult, genes: int) -> dict[str, torch.Tensor]:
    assert result.inherit is not None
    return result.inherit((0,) * genes).state_dict()


@pytest.mark.parametrize("name", ["mobilenetv2", "rexnet"])
def test_interrupted_search_continues_bit_for_bit(name: str, tmp_path: Path) -> None:
    whole, records = task(tmp_path / "whole", name)
    expected = method().search(whole)
    assert [record["epoch"] for record in records] == [0, 1, 2]
    assert "theta_loss" not in records[0] and "theta_loss" in records[1]
    part, again = task(tmp_path / "part", name)

    def stop_after_second(epoch: int, record: dict[str, float]) -> None:
        again.append({"epoch": epoch, **record})
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method().search(dataclasses.replace(part, on_epoch=stop_after_second))
    assert method().finished(part.checkpoint) == 2
    found = method().search(part)
    assert again == records
    for a, b in zip(found.probabilities, expected.probabilities, strict=True):
        np.testing.assert_array_equal(a, b)
    genes = len(whole.space.variables)
    assert all(
        torch.equal(a, b)
        for a, b in zip(weights(found, genes).values(), weights(expected, genes).values(), strict=True)
    )


def test_the_budget_moves_the_expected_cost_below_it(tmp_path: Path) -> None:
    """Theta starts uniform, above the limit of a tenth of the range; the multiplier rises until it is met."""
    problem, records = task(tmp_path, share=0.1)
    assert problem.limit_ms is not None
    method(epochs=12, theta_lr=0.3).search(problem)
    assert records[0]["expected_latency_ms"] > problem.limit_ms
    assert records[1]["multiplier"] > 0
    assert records[-1]["expected_latency_ms"] < problem.limit_ms * 1.02


def test_inherited_networks_are_points_of_the_space(tmp_path: Path) -> None:
    problem, _ = task(tmp_path, share=None)
    result = method().search(problem)
    assert result.inherit is not None
    assert problem.limit_ms is None
    (genotype,) = best_under_budget(result.probabilities, problem.cost, np.inf)
    assert genotype == tuple(int(row.argmax()) for row in result.probabilities)
    assert result.inherit(genotype).arch == problem.space.decode(genotype)


def test_checkpoints_of_other_searches_are_refused(tmp_path: Path) -> None:
    problem, _ = task(tmp_path)
    checkpoint.save(problem.checkpoint, {"format": "nas.dnas", "space": "x", "epochs_done": 1})
    with pytest.raises(ValueError, match="checkpoint of another search"):
        method().search(problem)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("warmup_epochs", 3, "warmup_epochs must lie in 0..epochs-1"),
        ("weight_fraction", 1, "weight_fraction must lie between 0 and 1"),
        ("theta_lr", 0, "theta_lr must be > 0"),
    ],
)
def test_bad_settings(key: str, value: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        method(**{key: value})


@pytest.mark.parametrize("seed", range(8))
def test_the_choice_within_a_budget_is_exact(seed: int) -> None:
    """Against all genotypes of random chains of pairs, in order, at limits over the whole range."""
    rng = np.random.default_rng(seed)
    sizes = tuple(int(n) for n in rng.integers(2, 5, size=5))
    scopes = [(0,), (0, 1), (1, 2), (1, 2), (2, 3), (4, 3)]
    tables = tuple(rng.uniform(size=[sizes[v] for v in scope]) for scope in scopes)
    cost = AdditiveCost(0.3, tuple(scopes), tables, sizes)
    probabilities = [rng.dirichlet(np.ones(n)) for n in sizes]
    every = np.array(list(itertools.product(*(range(n) for n in sizes))))
    gain = sum(np.log(p[every[:, v]]) for v, p in enumerate(probabilities))
    prices = cost(every)
    for share in (0.0, 0.2, 0.6, 1.0):
        limit = float(np.quantile(prices, share))
        inside = np.flatnonzero(prices <= limit)
        best = inside[np.argsort(-gain[inside])][:3]
        found = best_under_budget(probabilities, cost, limit, count=3)
        assert found == [tuple(row) for row in every[best].tolist()]


def test_a_budget_out_of_reach_is_refused_with_the_range() -> None:
    cost = macs(widths_of("mobilenetv2"))
    low, _ = cost.reachable()
    with pytest.raises(ValueError, match="out of reach; this space spans"):
        best_under_budget([np.ones(n) / n for n in cost.cardinalities], cost, 0.9 * low)
