"""Searches whose steps go through `torch.compile`: as without it, compiled once for weights and once for choices."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from search_spaces.families.rexnet.space import rexnet
from tests.methods import gradient_task
from tests.methods.gradient_task import few_layers

PAPER = {"mode": "paper", "weight_optimizer": "rmsproptf", "schedule": "step", "latency_weight": 1.0}


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch asks, and hides it, of a path that theta gave
@pytest.mark.parametrize(
    ("card", "changes", "graphs"),
    [
        ("dnas", {"negligible": 0.0}, 2),  # weights learn, theta learns
        ("single_path", {}, 1),  # thresholds; weights learn on slices, which are not compiled
        ("single_path", PAPER, 1),
    ],
    ids=["dnas", "single_path", "paper"],
)
def test_steps_are_compiled_once_whatever_the_path(
    card: str, changes: dict[str, Any], graphs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=counted))
    space = few_layers(kernels=(3,), expansions=(1, 3), widths=(8,))
    found = []
    for compiled in (False, True):
        torch._dynamo.reset()
        task, records = gradient_task.task(tmp_path / str(compiled), space)
        gradient_task.method(card, compile=compiled, **changes).search(task)
        found.append([[record["weight_loss"], record["theta_entropy"]] for record in records])
        assert counted.frame_count == (graphs if compiled else 0)
    for plain, same in zip(*found, strict=True):
        assert same == pytest.approx(plain, rel=1e-3)


def test_what_runs_something_else_each_step_is_not_compiled() -> None:
    for changes in ({"mode": "hard", "negligible": 0.0}, {"negligible": 0.02}):
        with pytest.raises(ValueError, match=r"method\.mode=soft method\.negligible=0"):
            gradient_task.method("dnas", compile=True, **changes)
    space = rexnet(32, 10, 1)
    for card in ("dnas", "masking"):
        method = gradient_task.method(card, compile=True, negligible=0.0)
        with pytest.raises(ValueError, match="for layer-wise spaces"):
            method.check(space)
