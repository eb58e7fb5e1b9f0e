"""A search problem of seconds, and a search that is interrupted: what tests of the searches by gradient share."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.data.digits import digits
from nas.methods.base import SearchResult, SupernetMethod, Task
from nas.runs import checkpoint as checkpoints
from nas.runs.keeping import stopping
from nas.runs.keeping.keeper import step_file
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import card_values
from nas.train.accelerator import make_accelerator
from search_spaces.from_card import from_card
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.space import LayerwiseSpace, SearchSpace

FULL = digits(8)
DATA = dataclasses.replace(FULL, train=FULL.train.subset(torch.arange(160)))
Records = list[dict[str, float]]
UNDECIDED = {"decided_at": None, "entropy_weight": 0.0, "theta_passes": 1}


def few_layers(
    kernels: Sequence[int] = (3, 5),
    expansions: Sequence[float] = (3, 6),
    head_channels: int = 32,
    widths: Sequence[int] = (8, 16),
) -> LayerwiseSpace:
    """A stage of two inverted residuals or skips for each of `widths`; what they choose nests as Single-Path's does."""
    block = {"kind": "inverted_residual", "kernel_size": list(kernels), "expand_ratio": list(expansions)}
    stages = [
        {"channels": channels, "depth": 2, "stride": 2, "blocks": [block, {"kind": "skip"}]} for channels in widths
    ]
    stem, head = {"out_channels": 8, "kernel_size": 3}, {"out_channels": head_channels}
    space = from_card(stages, stem, head, "few_layers", 8, 10, 1)
    assert isinstance(space, LayerwiseSpace)
    return space


def method(card: str, **changes: Any) -> Any:
    """The method of `card`, three epochs of two or three steps and plain losses unless `changes` say otherwise."""
    short = {"epochs": 3, "warmup_epochs": 1, "batch_size": 64, **UNDECIDED}
    return cards.build({**card_values(f"method/{card}"), **short, **changes}, "method", {})


def stand_in_ms(space: SearchSpace, per_layer_ms: float = 0.0) -> AdditiveCost:
    """Instead of a measured table: multiply-adds / 10,000, and `per_layer_ms` for each layer."""
    return space.cost(lambda layer, shape: layer.cost(shape).macs / 1e4 + per_layer_ms)


def task(
    folder: Path, space: SearchSpace, share: float | None = 0.5, seed: int = 0, per_layer_ms: float = 0.0
) -> tuple[Task, Records]:
    """A task limited to `share` of the reachable range (None: not limited), and where it records its epochs."""
    cost = stand_in_ms(space, per_layer_ms)
    low, high = cost.reachable()
    records: Records = []
    made = Task(
        space,
        DATA,
        cost,
        None if share is None else low + share * (high - low),
        seed,
        make_accelerator("cpu"),
        folder / "search.pt",
        lambda epoch, record: records.append({"epoch": epoch, **record}),
    )
    return made, records


def weights(result: SearchResult, space: SearchSpace) -> dict[str, torch.Tensor]:
    """Those that the network of the first choices inherits."""
    assert result.inherit is not None
    return result.inherit((0,) * len(space.variables)).state_dict()


def check_continues(make: Callable[[], SupernetMethod], task_in: Callable[[str], tuple[Task, Records]]) -> Records:
    """A search interrupted in its third epoch and continued ends bit for bit as a whole one, whose records it gives."""
    whole, records = task_in("whole")
    expected = make().search(whole)
    part, again = task_in("part")

    def stop_in_third(epoch: int, record: dict[str, float]) -> None:
        if epoch == 2:
            raise KeyboardInterrupt
        part.on_epoch(epoch, record)

    with pytest.raises(KeyboardInterrupt):
        make().search(dataclasses.replace(part, on_epoch=stop_in_third))
    assert make().finished(part.checkpoint) == 2
    with pytest.raises(stopping.Terminated):  # behind the step in which it is asked to end
        make().search(dataclasses.replace(part, on_share=lambda share: stopping.ask(signal.SIGTERM)))
    assert step_file(part.checkpoint).exists()
    torch.manual_seed(1)
    found = make().search(part)
    assert not step_file(part.checkpoint).exists()
    assert again == records
    for a, b in zip(found.probabilities, expected.probabilities, strict=True):
        np.testing.assert_array_equal(a, b)
    pairs = zip(weights(found, part.space).values(), weights(expected, whole.space).values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    return records


def check_divergence_is_named(make: Callable[[], SupernetMethod], problem: Task, weight: tuple[str, str]) -> None:
    """A weight (the checkpoint's part, its name there) that became NaN ends the search; the first epoch is kept."""

    def poison(epoch: int, record: dict[str, float]) -> None:
        if epoch == 0:
            return
        state = checkpoints.load(problem.checkpoint)
        state[weight[0]][weight[1]][:] = float("nan")
        checkpoints.save(problem.checkpoint, state)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make().search(dataclasses.replace(problem, on_epoch=poison))
    with pytest.raises(ValueError, match=r"search diverged: the weight loss is nan in epoch 2, step 1; lower method"):
        make().search(problem)
    assert make().finished(problem.checkpoint) == 1


def check_budget_steers(
    make: Callable[[], SupernetMethod], task_in: Callable[[float | None], tuple[Task, Records]]
) -> None:
    """With accuracy out of the picture the constraint alone decides: expected latency falls to the limit."""
    ends = {}
    for share in (0.1, None):
        problem, records = task_in(share)
        make().search(problem)
        ends[share] = records[-1]["expected_latency_ms"], problem.limit_ms
    steered, limit = ends[0.1]
    free, _ = ends[None]
    assert limit is not None
    assert free > 1.1 * limit
    assert steered < limit + 0.25 * (free - limit)
