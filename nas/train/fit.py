"""Whether a network, its data, its recipe and the processes that train it fit together."""

from __future__ import annotations

import copy

import torch
from accelerate import Accelerator
from torch import nn

from nas.data import ImageData
from nas.train.accelerator import check_shared, syncs_batch_norm
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
    parts = accumulate * (1 if syncs_batch_norm(accelerator) else accelerator.num_processes)
    if min(recipe.batch_size, len(split)) == parts:
        _check_one_image(network, arch.input_shape, parts)


def _check_one_image(network: nn.Module, shape: tuple[int, ...], parts: int) -> None:
    """Raise `ValueError` where a batch norm of `network` sees a single value per channel of one image of `shape`."""
    try:
        with torch.no_grad():
            copy.deepcopy(network).to("meta").train()(torch.empty(1, *shape, device="meta"))
    except ValueError as error:
        raise ValueError(
            f"one image at a time is too few: on maps of one pixel a batch norm has no variance ({error}); give a "
            f"recipe.batch_size of {2 * parts} or more"
        ) from None
