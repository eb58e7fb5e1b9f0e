"""Whether a search has decided: the figures at points worked out by hand, and the rule that ends a search."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.methods.base import Task
from nas.methods.loops.dnas_state import DNASState
from nas.methods.supernets.decision import Deciding, Decision, normalised_entropy
from nas.methods.supernets.objectives import row_entropies
from nas.runs import checkpoint as checkpoints
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual
from search_spaces.choices import Chain, combine, constant
from search_spaces.from_card import from_card
from search_spaces.space import SearchSpace
from tests.methods import gradient_task
from tests.methods.gradient_task import Records, few_layers

ENTROPIES = [
    ([0.25, 0.25, 0.25, 0.25], 1.0),
    ([1.0, 0.0, 0.0], 0.0),
    ([0.5, 0.5, 0.0, 0.0], 0.5),  # ln 2 of ln 4
    ([0.5, 0.25, 0.25], 1.5 * math.log(2) / math.log(3)),
]
TINY = dataclasses.replace(gradient_task.DATA, train=gradient_task.DATA.train.subset(torch.arange(48)))


def widths(kinds: int = 2) -> SearchSpace:
    """One stage of 8 or 16 channels and one or two blocks of `kinds` kernels."""
    block = {"kind": "inverted_residual", "kernel_size": [3, 5][:kinds]}
    stage = {"channels": [8, 16], "depth": [1, 2], "blocks": [block]}
    return from_card([stage], {"out_channels": 8, "kernel_size": 3}, {"out_channels": 32}, "few widths", 8, 10, 1)


SEARCHES = {
    "dnas": lambda: few_layers(expansions=(1, 3)),
    "dnas, widths": widths,
    "masking": lambda: from_card(
        [{"channels": [8, 16], "depth": 2, "stride": 2, "blocks": [{"kind": "inverted_residual"}]}] * 2,
        {"out_channels": 8, "kernel_size": 3},
        {"out_channels": 32},
        "few widths",
        8,
        10,
        1,
    ),
    "single_path": few_layers,
}


def search_of(name: str, folder: Path, **changes: Any) -> tuple[Any, Task, Records]:
    """The method of `name`, its epochs of one or two steps, and a task with a record of its epochs."""
    settings: dict[str, Any] = {"epochs": 4, "warmup_epochs": 1, "batch_size": 8, "theta_passes": 2}
    method = gradient_task.method(name.partition(",")[0], **{**settings, **changes})
    folder.mkdir(exist_ok=True)
    task, records = gradient_task.task(folder, SEARCHES[name]())
    return method, dataclasses.replace(task, data=TINY), records


@pytest.mark.parametrize(("row", "expected"), ENTROPIES)
def test_normalised_entropy_at_points(row: list[float], expected: float) -> None:
    assert normalised_entropy(np.array(row)) == pytest.approx(expected, abs=1e-12)


def test_entropies_of_logits_are_those_of_their_probabilities() -> None:
    logits = torch.full((len(ENTROPIES) + 1, 4), -torch.inf)
    for logit, (row, _) in zip(logits, ENTROPIES, strict=False):
        logit[: len(row)] = torch.tensor(row).clamp_min(1e-30).log()
    logits[-1, 0] = 3.0  # a variable of one choice
    logits.requires_grad_()
    found = row_entropies(logits)
    assert found.tolist() == pytest.approx([*(entropy for _, entropy in ENTROPIES), 0.0], abs=1e-6)
    found.sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all() and not logits.grad[torch.isinf(logits.detach())].any()


def test_a_step_down_the_entropy_favours_what_is_ahead() -> None:
    logits = torch.tensor([[0.2, 0.0, -0.1]], requires_grad=True)
    row_entropies(logits).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] < 0 < logits.grad[0, 2]


def test_what_there_is_to_decide_and_what_is_decided() -> None:
    space = few_layers(expansions=(3,))  # per position: kernel 3, kernel 5, and skip for two of the four
    sizes = [len(variable) for variable in space.variables]
    rows = [np.array([0.9, *[0.1 / (n - 1)] * (n - 1)]) for n in sizes]
    rows[1] = np.array([0.5, *[0.5 / (sizes[1] - 1)] * (sizes[1] - 1)])
    found = Deciding(space).of(rows)
    assert found.tops == pytest.approx([0.9, 0.5, 0.9, 0.9])
    assert found.mean_top_probability == pytest.approx(0.8)
    assert found.open == (1,)
    assert found.entropy == pytest.approx(np.mean([normalised_entropy(row) for row in rows]))
    assert dataclasses.replace(found, at=0.79).is_made and not dataclasses.replace(found, at=0.81).is_made


def test_choices_without_effect_are_left_out() -> None:
    chain = Chain("two blocks", (8,), 1)
    chain.layer(constant(ConvBNAct(8)), constant(8))
    chain.next_stage()
    depth, kernel = chain.choice("depth", (1, 2)), chain.choice("kernel of the second", (3, 5))
    chain.run(combine(lambda n, k: tuple(InvertedResidual(8, side) for side in (3, k)[:n]), depth, kernel))
    chain.next_stage()
    chain.run(constant((ConvBNAct(16), Classifier(10))))
    space, even = chain.closed(), np.array([0.5, 0.5])
    assert Deciding(space).of([np.array([0.9, 0.1]), even]).tops == (0.9, None)  # one block: there is no second
    assert Deciding(space).of([np.array([0.1, 0.9]), even]).tops == (0.9, 0.5)
    nothing = Decision((None,), (None,))
    assert nothing.is_made and nothing.entropy == 0


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_ends_with_its_decision_and_goes_on_from_anywhere(name: str, tmp_path: Path) -> None:
    free, problem, whole = search_of(name, tmp_path / "whole", decided_at=None, entropy_weight=3.0)
    assert free.search(problem).epochs == len(whole) == 4
    tops = [record["mean_top_probability"] for record in whole]
    bar = (tops[1] + tops[2]) / 2
    assert tops[0] < tops[1] < bar < tops[2]  # the entropy's weight decides; and not in the warm-up
    method, problem, records = search_of(name, tmp_path / "ends", decided_at=bar, entropy_weight=3.0)
    found = method.search(problem)
    assert found.epochs == 3 and records == whole[:3]
    again = method.search(problem)  # what has ended stays so
    assert again.epochs == 3 and len(records) == 3

    method, problem, records = search_of(name, tmp_path / "part", decided_at=bar, entropy_weight=3.0)

    def stop_in_last(epoch: int, record: dict[str, float]) -> None:
        if epoch == 2:
            raise KeyboardInterrupt
        problem.on_epoch(epoch, record)

    with pytest.raises(KeyboardInterrupt):
        method.search(dataclasses.replace(problem, on_epoch=stop_in_last))
    continued = method.search(problem)
    assert continued.epochs == 3 and records == whole[:3]
    for other in (again, continued):
        for a, b in zip(found.probabilities, other.probabilities, strict=True):
            np.testing.assert_array_equal(a, b)


def test_warm_up_ends_no_search_and_what_ended_keeps_its_settings(tmp_path: Path) -> None:
    method, problem, records = search_of("dnas", tmp_path, decided_at=0.01)
    assert method.search(problem).epochs == len(records) == 2  # the first of theta's epochs
    assert method.finished(problem.checkpoint) == 2
    with pytest.raises(ValueError, match=r"is finished, .*method.weight_lr is 0.01, asked is 0.5"):
        search_of("dnas", tmp_path, decided_at=0.01, weight_lr=0.5)[0].search(problem)
    with pytest.raises(ValueError, match=r"method.decided_at is 0.01, asked is 0.9"):
        search_of("dnas", tmp_path, decided_at=0.9)[0].search(problem)


def test_checkpoints_from_before_the_rule_go_on(tmp_path: Path) -> None:
    off = {"decided_at": None, "entropy_weight": 0.0, "theta_passes": 1}
    method, problem, records = search_of("dnas", tmp_path, **off)

    def stop(epoch: int, record: dict[str, float]) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method.search(dataclasses.replace(problem, on_epoch=stop))
    state = checkpoints.load(problem.checkpoint)
    assert not set(off) & set(state["identity"]["method"])
    del state["decided"]
    checkpoints.save(problem.checkpoint, state)
    assert method.search(problem).epochs == 4 and len(records) == 2


def test_published_thresholds_end_no_search(tmp_path: Path) -> None:
    method, problem, records = search_of("single_path", tmp_path, mode="paper", decided_at=0.01, batch_size=48)
    assert method.search(problem).epochs == len(records) == 4


def test_theta_passes_are_so_many_steps_on_other_batches(tmp_path: Path) -> None:
    seen: list[list[int]] = []
    for passes in (1, 3):
        method, problem, _ = search_of("dnas", tmp_path / str(passes), warmup_epochs=0, theta_passes=passes)
        state = DNASState(method, problem)
        labels: list[int] = []
        step = state._theta_step

        def watched(images: Any, classes: Any, *rest: Any, step: Any = step, labels: Any = labels) -> Any:
            labels += classes.tolist()
            return step(images, classes, *rest)

        state._theta_step = watched  # type: ignore[method-assign]
        state.epoch(0, *problem.data.split_train(0.8, 0))
        seen.append(labels)
    once, thrice = seen
    assert len(thrice) == 3 * len(once) and thrice[: len(once)] == once
    assert thrice[len(once) : 2 * len(once)] != once  # in another order


def test_temperature_and_entropy_follow_the_allowance() -> None:
    for epochs in (2, 5, 90):
        method = gradient_task.method("dnas", epochs=epochs, temperature_decay=None, entropy_weight=0.4)
        assert method.temperature_of(0) == method.temperature
        assert method.temperature_of(epochs - 1) == pytest.approx(method.temperature_floor)
        assert method.entropy_at(0) == 0 and method.entropy_at(epochs - 1) == pytest.approx(0.4)
    assert gradient_task.method("dnas", temperature_decay=0.5).temperature_of(2) == pytest.approx(5 * math.exp(-1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decided_at": 0.0}, r"decided_at must lie in \(0, 1\], got 0.0"),
        ({"decided_at": 1.5}, r"decided_at must lie in \(0, 1\], got 1.5"),
        ({"entropy_weight": -1.0}, "entropy_weight must be >= 0, got -1.0"),
        ({"theta_passes": 0}, "theta_passes must be >= 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gradient_task.method("dnas", **changes)
