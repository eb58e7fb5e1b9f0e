"""Whether a network, its data, its recipe and the processes that train it fit together."""

from __future__ import annotations

from accelerate import Accelerator
from torch import nn

from nas.data import ImageData
from search_spaces.recipe import Recipe


def check_fit(network: nn.Module, data: ImageData, recipe: Recipe, accelerator: Accelerator) -> None:
    """Raise `ValueError` where they do not."""
    if recipe.batch_size % accelerator.num_processes:
        raise ValueError(
            f"batch_size {recipe.batch_size} cannot be shared by {accelerator.num_processes} processes; give a multiple"
        )
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
