"""What the epochs of the differentiable searches share: batches in their layout, checked losses, and entropy."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr
from torch import Tensor

from nas.data.split import Batches, Split
from nas.methods.base import Task
from nas.runs.keeping.collapse import Collapsed
from nas.runs.seeding import derive_seed
from nas.train.accelerator import check_shared, place_of


def batches(task: Task, split: Split, part: str, epoch: int, batch_size: int, augment: str | None) -> Batches:
    """Images (B, C, H, W), channels last, and labels of one pass over `split`; `part` names its random stream.

    Of several processes each gets its part of every batch.
    """
    check_shared(task.accelerator, batch_size, len(split))
    found = split.batches(
        batch_size,
        seed=derive_seed(task.seed, "search", part),
        epoch=epoch,
        augment=augment,
        drop_last=True,
        place=place_of(task.accelerator),
    )

    def channels_last(first: int) -> Generator[tuple[Tensor, Tensor], None, None]:
        with closing(found):
            for images, labels in found.skip(first):
                yield images.contiguous(memory_format=torch.channels_last), labels

    return Batches(channels_last)


def passes(make: Callable[[int], Batches], numbers: range, length: int, skip: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of passes `numbers` in a row, each of `length` batches, without the first `skip`."""
    for number in numbers[skip // length :]:
        yield from make(number).skip(skip % length)
        skip = 0


def mean_loss(task: Task, losses: Sequence[Tensor], part: str, epoch: int, fix: str) -> float:
    """The mean of an epoch's losses. Raises `Collapsed` with the first step whose loss is not finite, and `fix`."""
    values = torch.stack(list(losses)).cpu()
    bad = torch.nonzero(~torch.isfinite(values))
    if len(bad):
        raise Collapsed(
            f"the search diverged: the {part} loss is {values[bad[0]].item()} in epoch {epoch + 1}, step "
            f"{int(bad[0]) + 1}; {fix}; earlier epochs are kept in {task.checkpoint}"
        )
    return float(values.mean())


def mean_entropy(probabilities: Sequence[NDArray[np.float64]]) -> float:
    """The mean over variables of `-sum_k p_k ln p_k`, nats; `probabilities[v]`: (choices of v,)."""
    return float(np.mean([entr(row).sum() for row in probabilities]))
