"""A checkpoint belongs to one search: everything it depends on is compared, and what may change is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nas.data.split import MemorySource, Split
from nas.methods.base import Task
from nas.runs import checkpoint as checkpoints
from search_spaces.from_card import from_card
from search_spaces.space import SearchSpace
from tests.methods import gradient_task
from tests.methods.gradient_task import few_layers

SPACES = {
    "dnas": lambda e: few_layers(kernels=(3, 2 + e), expansions=(1, 3)),
    "dnas, widths": lambda e: from_card(
        [{"channels": [8, 16], "depth": [1, 2], "blocks": [{"kind": "inverted_residual", "kernel_size": [3, 2 + e]}]}],
        {"out_channels": 8, "kernel_size": 3},
        {"out_channels": 32},
        "few blocks and widths",
        8,
        10,
        1,
    ),
    "single_path": lambda e: few_layers(expansions=(3, 1 + e)),
    "masking": lambda e: from_card(
        [{"channels": [8, 8 * e], "depth": 2, "stride": 2, "blocks": [{"kind": "inverted_residual"}]}] * 2,
        {"out_channels": 8, "kernel_size": 3},
        {"out_channels": 32},
        "few widths",
        8,
        10,
        1,
    ),
}
TINY = dataclasses.replace(gradient_task.DATA, train=gradient_task.DATA.train.subset(torch.arange(48)))


def problem_of(card: str, folder: Path, e: int = 5) -> Task:
    made, _ = gradient_task.task(folder, SPACES[card](e))
    return dataclasses.replace(made, data=TINY)


def method_of(name: str, **changes: Any) -> Any:
    return gradient_task.method(name.partition(",")[0], **changes)


def darker(problem: Task) -> Task:
    """The same problem, its images replaced by others of the same name, number and labels."""
    train = problem.data.train
    source = MemorySource(train.source.images // 2)  # type: ignore[attr-defined]
    other = Split(source, train.indices, train.labels, train.mean, train.std, train.resolution)
    return dataclasses.replace(problem, data=dataclasses.replace(problem.data, train=other))


@pytest.mark.parametrize("card", SPACES)
def test_a_checkpoint_belongs_to_one_search(card: str, tmp_path: Path) -> None:
    small: dict[str, Any] = {"epochs": 2, "batch_size": 16}
    problem = problem_of(card, tmp_path)

    def interrupt(epoch: int, record: dict[str, float]) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method_of(card, **small).search(dataclasses.replace(problem, on_epoch=interrupt))
    stand_in = {"mixed_precision": "bf16", "device": torch.device("cpu"), "scaler": None}
    stand_in |= {"num_processes": 1, "process_index": 0, "is_main_process": True}
    in_bfloat16: Any = SimpleNamespace(**stand_in, free_memory=lambda: None, prepare=lambda made: made)
    scaled = dataclasses.replace(problem.cost, fixed=problem.cost.fixed + 1)
    space: SearchSpace = SPACES[card](3)  # the same skeleton and labels of variables, other candidates
    others = [
        (dataclasses.replace(problem, space=space), {}, "space is"),
        (dataclasses.replace(problem, seed=1), {}, "seed is 0, asked is 1"),
        (dataclasses.replace(problem, limit_ms=1.5), {}, "limit_ms is"),
        (dataclasses.replace(problem, cost=scaled), {}, "costs is"),
        (dataclasses.replace(problem, accelerator=in_bfloat16), {}, "precision is"),
        (darker(problem), {}, "data is"),
        (problem, {"augment": None}, "method.augment is"),
        (problem, {"weight_fraction": 0.5}, "method.weight_fraction is 0.8, asked is 0.5"),
    ]
    for other, changes, message in others:
        with pytest.raises(ValueError, match=f"belongs to something else: .*{message}"):
            method_of(card, **small, **changes).search(other)
    cured = method_of(card, **small, weight_lr=0.001)
    assert cured.search(problem).seconds > 0  # the fix of a search that diverged
    with pytest.raises(ValueError, match=r"is finished, .*method.weight_lr is 0.001, asked is 0.01"):
        method_of(card, **small).search(problem)
    checkpoints.save(problem.checkpoint, {"format": "nas.dnas", "epochs_done": 1})
    with pytest.raises(ValueError, match="not a checkpoint of this kind of search"):
        cured.search(problem)


def test_default_warm_ups_fit_every_length() -> None:
    for card in SPACES:
        assert [method_of(card, epochs=e, warmup_epochs=None).warmup for e in (1, 2, 5, 8)] == [0, 0, 2, 3]
