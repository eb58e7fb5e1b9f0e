"""Differentiable searches of blocks, widths and depths: what they refuse, how they go on, what they end in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nas.derive.integer_programme import best_under_budget
from nas.methods.base import Task
from nas.methods.dnas import DNAS
from nas.methods.supernets.masked_plan import masked_plan
from search_spaces.blocks import ConvBNAct
from search_spaces.choices import Chain, combine, constant
from search_spaces.families.mobilenetv2.space import mobilenetv2
from search_spaces.families.rexnet.space import rexnet
from search_spaces.space import SearchSpace
from tests.methods import gradient_task
from tests.methods.gradient_task import Records, check_budget_steers, check_continues
from tests.methods.masked_networks import MBCONV, card, mixed


def method(**changes: Any) -> DNAS:
    found = gradient_task.method("dnas", **changes)
    assert isinstance(found, DNAS)
    return found


def task(folder: Path, share: float | None = 0.5) -> tuple[Task, Records]:
    return gradient_task.task(folder, mixed(), share, per_layer_ms=1.1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: mobilenetv2(resolutions=(192, 224)),
            "gets maps of 192x192 and 224x224 pixels .*search one resolution",
        ),
        (lambda: rexnet(8, 10, 1, channels="monotone"), "monotone channels are no independent choices"),
        (
            lambda: card({"channels": [8, 16], "depth": [1, 2], "blocks": [{**MBCONV, "groups": 2}]}),
            "stage 1: .*grouped convolutions",
        ),
    ],
)
def test_what_no_supernet_holds_is_refused_with_the_fix(make: Callable[[], SearchSpace], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        method().check(make())


def test_a_stage_left_out_with_its_stride_is_refused() -> None:
    chain = Chain("strided", (8,), 1)
    chain.layer(constant(ConvBNAct(8)), constant(8))
    chain.next_stage()
    there = chain.choice("there", (False, True))
    chain.run(combine(lambda there: (ConvBNAct(8, stride=2),) if there else (), there), constant(8))
    chain.next_stage()
    chain.layer(constant(ConvBNAct(8)), constant(8))
    with pytest.raises(ValueError, match=r"can be left out with its stride \(there\).*depth of at least 1"):
        masked_plan(chain.space(10))


@pytest.mark.parametrize("mode", ["soft", "top2", "hard"])
def test_interrupted_search_continues_bit_for_bit(mode: str, tmp_path: Path) -> None:
    records = check_continues(lambda: method(mode=mode), lambda name: task(tmp_path / name, share=0.1))
    assert "theta_loss" not in records[0] and "theta_loss" in records[1]


def test_budget_steers_the_expected_latency(tmp_path: Path) -> None:
    changes = {"epochs": 12, "theta_lr": 0.3, "penalty": 30.0, "batch_size": 160, "mode": "hard"}
    check_budget_steers(lambda: method(**changes), lambda share: task(tmp_path / str(share), share))


def test_the_published_loss_runs_on_widths(tmp_path: Path) -> None:
    problem, records = task(tmp_path, None)
    method(loss="fbnet").search(problem)
    assert all(np.isfinite(record["theta_loss"]) for record in records[1:])


def test_a_search_ends_in_a_network_within_the_budget_that_inherits_weights(tmp_path: Path) -> None:
    problem, _ = task(tmp_path, 0.3)
    result = method().search(problem)
    assert problem.limit_ms is not None and result.inherit is not None
    assert [len(row) for row in result.probabilities] == [len(v) for v in problem.space.variables]
    assert all(row.sum() == pytest.approx(1) for row in result.probabilities)
    for genotype in best_under_budget(result.probabilities, problem.cost, problem.limit_ms, count=3):
        network = result.inherit(genotype)
        assert sum(layer.cost(shape).macs / 1e4 + 1.1 for layer, shape in network.arch.walk()) <= problem.limit_ms
    logits: Tensor = network(torch.zeros(2, 1, 8, 8))
    assert logits.shape == (2, 10) and logits.isfinite().all()
