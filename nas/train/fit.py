"""Whether a network, its data, its recipe and the processes that train it fit together."""

from __future__ import annotations

from accelerate import Accelerator
from torch import nn

from nas.data import ImageData
from nas.train.accelerator import check_shared
from nas.train.averaging import judged
from search_spaces.recipe import Recipe


def check_fit(
    network: nn.Module, data: ImageData, recipe: Recipe, accelerator: Accelerator, accumulate: int = 1
) -> None:
    """Raise `ValueError` where they do not."""
    split = judged(data.train)[0] if recipe.ema_decay else data.train
    check_shared(accelerator, recipe.batch_size, len(split), accumulate)
    arch = getattr(network, "arch", None)
    if arch is None:
        return
    if arch.num_classes != data.num_classes:
        raise ValueError(
            f"the network has {arch.num_classes} output classes, {data.name} has {data.num_classes}; build it from "
            f"arch.with_classes({data.num_classes})"
        )
    if arch.in_channels != data.in_channels:
        raise ValueError(
            f"the network takes images of {arch.in_channels} channels, those of {data.name} have {data.in_channels}"
        )
