"""Every search and every training under mixed precision: what fp32 finds, whatever the loss is multiplied by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from nas.train.accelerator import make_accelerator
from nas.train.training import build_network, train
from search_spaces.recipe import Recipe
from tests.methods import gradient_task
from tests.methods.test_search_checkpoints import SPACES, problem_of

SEARCHES: list[tuple[str, dict[str, Any]]] = [
    ("dnas", {"weight_optimizer": "sgd"}),
    ("single_path", {"weight_optimizer": "sgd"}),
    ("single_path", {"mode": "paper", "weight_optimizer": "sgd"}),
    ("masking", {"weight_optimizer": "adamw"}),
]


@pytest.fixture
def own_process() -> Iterator[Callable[[str, str], Accelerator]]:
    """`make_accelerator` as a process of its own has it: Accelerate keeps one precision a process."""

    def made(device: str, precision: str) -> Accelerator:
        AcceleratorState._reset_state()
        return make_accelerator(device, precision)

    yield made
    AcceleratorState._reset_state()


def scaling() -> Accelerator:
    """fp16's loss scale (65,536 at first) on the CPU, where the arithmetic stays fp32."""
    accelerator = make_accelerator("cpu")
    accelerator.scaler = torch.amp.GradScaler("cpu")
    return accelerator


@pytest.mark.parametrize(("card", "changes"), SEARCHES, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("precision", ["bf16", "scaled"])
def test_a_search_finds_what_it_finds_in_fp32(
    precision: str, card: str, changes: dict[str, Any], tmp_path: Path, own_process: Callable[[str, str], Accelerator]
) -> None:
    def found(make: Callable[[], Accelerator], name: str) -> Any:
        problem = problem_of(card, tmp_path / name)
        problem = dataclasses.replace(problem, accelerator=make())
        return gradient_task.method(card, epochs=2, batch_size=16, warmup_epochs=0, **changes).search(problem)

    expected = found(lambda: make_accelerator("cpu"), "fp32")
    searched = found((lambda: own_process("cpu", "bf16")) if precision == "bf16" else scaling, precision)
    of_choices, of_weights = (0.3, 0.2) if precision == "bf16" else (1e-3, 1e-3)  # Adam on theta steps by the sign
    for a, b in zip(searched.probabilities, expected.probabilities, strict=True):
        np.testing.assert_allclose(a, b, atol=of_choices)
    space = SPACES[card](5)
    vectors = [
        torch.cat([value.double().flatten() for value in gradient_task.weights(result, space).values()])
        for result in (searched, expected)
    ]
    assert float((vectors[0] - vectors[1]).norm() / vectors[1].norm()) < of_weights


def test_the_loss_scale_begins_anew_and_goes_on_with_its_checkpoint(tmp_path: Path) -> None:
    space = SPACES["dnas"](5)
    arch, data = space.decode((0,) * len(space.variables)), problem_of("dnas", tmp_path).data
    recipe = Recipe(epochs=2, batch_size=16, lr=0.01, clip_grad=1.0)
    expected = train(build_network(arch, recipe), data, recipe)["loss"]
    accelerator = scaling()
    for _ in range(2):  # the second with an accelerator that has been used
        found = train(build_network(arch, recipe), data, recipe, accelerator=accelerator)
        assert found["loss"] == pytest.approx(expected, rel=1e-3)
        assert accelerator.scaler.get_scale() == 65536
        accelerator.scaler.update(2.0)  # what overflows do
    state = accelerator.scaler.state_dict()
    method = gradient_task.method("dnas", epochs=1, batch_size=16, warmup_epochs=0)
    problem = dataclasses.replace(problem_of("dnas", tmp_path), accelerator=accelerator)
    method.search(problem)
    accelerator.scaler.update(8.0)
    method.search(problem)  # finished: its checkpoint's scale
    assert accelerator.scaler.get_scale() == 65536 != state["scale"]


def test_a_cpu_has_no_fp16_and_a_process_one_precision() -> None:
    make_accelerator("cpu")
    with pytest.raises(ValueError, match="already computes with precision=no; start another one for precision=bf16"):
        make_accelerator("cpu", "bf16")
    with pytest.raises(ValueError, match="fp16 needs a CUDA device; on the CPU use precision no or bf16"):
        make_accelerator("cpu", "fp16")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
@pytest.mark.parametrize("card", SPACES)
def test_a_search_on_a_gpu_finds_what_it_finds_in_fp32(
    precision: str, card: str, tmp_path: Path, own_process: Callable[[str, str], Accelerator]
) -> None:
    results = []
    for name in ("no", precision):
        own_process("cpu", "no")
        problem = problem_of(card, tmp_path / name)
        problem = dataclasses.replace(problem, accelerator=own_process("cuda", name))
        made = gradient_task.method(card, epochs=2, batch_size=16, warmup_epochs=0, weight_optimizer="sgd")
        results.append(made.search(problem))
    for a, b in zip(results[1].probabilities, results[0].probabilities, strict=True):
        np.testing.assert_allclose(a, b, atol=0.3)
