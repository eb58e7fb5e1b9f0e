"""The space and the schedules of the experiment: slices of one network of about 6 M multiply-adds at 32 pixels."""

from __future__ import annotations

from dataclasses import dataclass

from nas.methods.elastic.settings import Pretraining
from search_spaces.from_card import from_card
from search_spaces.recipe import Recipe
from search_spaces.space import SearchSpace

CLASSES = 10
BLOCK = {"kind": "inverted_residual", "kernel_size": [3, 5], "expand_ratio": [2, 3, 4]}
STAGES = [
    {"name": "a", "channels": [8, 12, 16], "depth": [1, 2], "stride": 1, "blocks": [BLOCK]},
    {"name": "b", "channels": [16, 20, 24], "depth": [1, 2, 3], "stride": 2, "blocks": [BLOCK]},
    {"name": "c", "channels": [24, 32, 40], "depth": [1, 2, 3], "stride": 2, "blocks": [BLOCK]},
    {"name": "d", "channels": [40, 56, 72], "depth": [1, 2], "stride": 1, "blocks": [BLOCK]},
]
STEM, HEAD = {"out_channels": 16, "kernel_size": 3, "stride": 2}, {"out_channels": 128}


def space(resolution: int) -> SearchSpace:
    """Four stages of inverted residuals: widths, depths, kernels, expansions, and no choice of kind: all is shared."""
    return from_card(STAGES, STEM, HEAD, "elastic", resolution, CLASSES, 1)


@dataclass(frozen=True)
class Size:
    """How much is done: training images (0: all), pixels, epochs of the supernet and of every network trained alone."""

    images: int
    resolution: int
    epochs: int
    batch_size: int

    @property
    def recipe(self) -> Recipe:
        """Of a network that is trained alone: the images that the supernet sees, as often."""
        return Recipe(
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=0.005,
            optimizer="adamw",
            weight_decay=0.02,
            warmup_epochs=None,
            label_smoothing=0.1,
            clip_grad=1.0,
            augment="crop_flip",
            zero_init_residual=True,
        )

    @property
    def pretraining(self) -> Pretraining:
        """Of the supernet, with an update of the weights for every arch of a step."""
        return Pretraining(self.recipe, updates="arch")


SIZES = {
    "tiny": Size(4000, 16, 8, 64),  # minutes; shows that it runs, and the sign of things at best
    "small": Size(10_000, 32, 10, 64),
    "whole16": Size(0, 16, 6, 128),  # all images at a quarter of the cost of a pass: forty networks can be ranked
    "full": Size(0, 32, 10, 128),
}
