"""What the epochs of the differentiable searches share: batches in their layout, checked losses, and entropy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr
from torch import Tensor

from nas.data.split import Place, Split
from nas.methods.base import Task
from nas.runs.seeding import derive_seed


def batches(
    task: Task, split: Split, part: str, epoch: int, batch_size: int, augment: str | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (B, C, H, W), channels last, and labels of one pass over `split`; `part` names its random stream."""
    found = split.batches(
        batch_size,
        seed=derive_seed(task.seed, "search", part),
        epoch=epoch,
        augment=augment,
        drop_last=True,
        place=Place(task.accelerator.device),
    )
    for images, labels in found:
        yield images.contiguous(memory_format=torch.channels_last), labels


def mean_loss(task: Task, losses: Sequence[Tensor], part: str, epoch: int, fix: str) -> float:
    """The mean of an epoch's losses. Raises `ValueError` with the first step whose loss is not finite, and `fix`."""
    values = torch.stack(list(losses)).cpu()
    bad = torch.nonzero(~torch.isfinite(values))
    if len(bad):
        raise ValueError(
            f"the search diverged: the {part} loss is {values[bad[0]].item()} in epoch {epoch + 1}, step "
            f"{int(bad[0]) + 1}; {fix}; earlier epochs are kept in {task.checkpoint}"
        )
    return float(values.mean())


def mean_entropy(probabilities: Sequence[NDArray[np.float64]]) -> float:
    """The mean over variables of `-sum_k p_k ln p_k`, nats; `probabilities[v]`: (choices of v,)."""
    return float(np.mean([entr(row).sum() for row in probabilities]))
