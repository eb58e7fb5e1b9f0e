"""Whether a network, its data, its recipe and the processes that train it fit together."""

from __future__ import annotations

import copy

import torch
from accelerate import Accelerator
from torch import nn

from nas.data import ImageData
from nas.train.accelerator import check_shared, syncs_batch_norm
from nas.train.averaging import judged
from nas.train.start.tuning import NOTHING_TUNED, Frozen, Tuning
from search_spaces.recipe import Recipe


class OneImage(ValueError):
    """A batch norm would learn from a single value."""


def check_fit(
    network: nn.Module,
    data: ImageData,
    recipe: Recipe,
    accelerator: Accelerator,
    accumulate: int = 1,
    tuning: Tuning = NOTHING_TUNED,
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
        _check_one_image(network, data.input_shape, parts, tuning)


def _check_one_image(network: nn.Module, shape: tuple[int, ...], parts: int, tuning: Tuning) -> None:
    """Raise `ValueError` where a batch norm that learns sees a single value per channel of one image of `shape`."""
    twin = copy.deepcopy(network).cpu().train()
    Frozen(twin, tuning.frozen(twin)).rest()
    try:
        with torch.no_grad():
            twin(torch.zeros(1, *shape))  # of no meta device: a block of the user's own may ask for values
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise OneImage(
            "one image at a time is too few: on maps of one pixel a batch norm has no variance; give a "
            f"recipe.batch_size of {2 * parts} or more, or a larger resolution"
        ) from None
