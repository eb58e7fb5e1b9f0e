"""Mixup and cutmix of a batch with itself in reverse (arXiv 1710.09412, 1905.04899), by timm."""

from __future__ import annotations

import torch
from timm.data import Mixup
from timm.data.mixup import mixup_target
from torch import Tensor

from search_spaces.recipe import Recipe


class Mixing:
    """`recipe`'s mixup and cutmix for `num_classes` classes; draws from numpy's global state."""

    def __init__(self, recipe: Recipe, num_classes: int) -> None:
        self.smoothing, self.num_classes = recipe.label_smoothing, num_classes
        self.mixup = Mixup(recipe.mixup, recipe.cutmix, label_smoothing=self.smoothing, num_classes=num_classes)

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed images, and their targets as probabilities (B, classes), smoothed.

        timm pairs the first image with the last and takes even batches only. Of an odd one, which arises where
        processes share a batch or all images are fewer than one, the last image stays as it is.
        """
        even = len(images) // 2 * 2
        if even == len(images):
            return self.mixup(images, labels)
        alone = mixup_target(labels[even:], self.num_classes, 1.0, self.smoothing)
        if not even:
            return images, alone
        mixed, targets = self.mixup(images[:even], labels[:even])
        return torch.cat([mixed, images[even:]]), torch.cat([targets, alone])
