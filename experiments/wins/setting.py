"""What all searches and trainings of one comparison share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from nas.data import ImageData
from nas.data.torchvision import cifar10, fashion_mnist
from search_spaces.families.mobile.space import mobile
from search_spaces.recipe import Recipe
from search_spaces.space import SearchSpace

DATASETS = {"fashion_mnist": fashion_mnist, "cifar10": cifar10}
RESOLUTION, NUM_CLASSES = 32, 10
PRETRAINING = "small_images"  # the card of an elastic supernet's training


@dataclass(frozen=True)
class Setting:
    """`images` of the training split are used (0: all), for `epochs` of every final training, and `search_images` of
    them by searches (0: as many), `candidate_images` of these by each candidate (0: all that do not judge).

    A search trains candidates for `candidate_epochs`; with `elastic` > 0 it scores `elastic_trials` of them by a
    supernet pretrained for so many epochs instead. `random`: networks drawn beside each found one.
    """

    dataset: str = "fashion_mnist"
    images: int = 0
    epochs: int = 10
    candidate_epochs: int = 5
    elastic: int = 0
    elastic_trials: int = 200
    random: int = 4
    search_images: int = 0
    candidate_images: int = 0

    def __post_init__(self) -> None:
        if self.dataset not in DATASETS:
            raise ValueError(f"--dataset must be one of {', '.join(DATASETS)}, got {self.dataset!r}")
        for name in ("epochs", "candidate_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be >= 1, got {getattr(self, name)}")
        for name in ("images", "elastic", "random", "search_images", "candidate_images"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name} must be >= 0, got {getattr(self, name)}")
        if self.images and self.search_images > self.images:
            raise ValueError(f"--search_images must be at most --images ({self.images}), got {self.search_images}")

    @property
    def recipe(self) -> Recipe:
        """By which every network is trained to the end, whoever drew it."""
        return Recipe(
            epochs=self.epochs,
            batch_size=64,
            lr=0.003,
            optimizer="adamw",
            weight_decay=0.02,
            warmup_epochs=None,
            augment="shift",
            zero_init_residual=True,
        )

    @property
    def in_channels(self) -> int:
        return 1 if self.dataset == "fashion_mnist" else 3

    def data(self, root: str) -> ImageData:
        return DATASETS[self.dataset](root, RESOLUTION, self.images or None)

    def space(self) -> SearchSpace:
        """The recommended space, as `space=mobile` has it for these images."""
        return mobile(RESOLUTION, NUM_CLASSES, self.in_channels)

    def search_keys(self) -> list[str]:
        """The keys of a default search of the recommended space that depend on images and epochs alone."""
        recipe = self.recipe
        keys = [
            "space=mobile",
            f"data={self.dataset}",
            f"data.resolution={RESOLUTION}",
            f"data.train_limit={self.search_images or self.images or 'null'}",
            f"recipe.epochs={recipe.epochs}",
            f"recipe.batch_size={recipe.batch_size}",
            f"recipe.lr={recipe.lr!r}",
            "recipe.warmup_epochs=null",
            f"recipe.label_smoothing={recipe.label_smoothing!r}",
            f"search.epochs={self.candidate_epochs}",
            "train.from_contest=true",  # what is found is trained anew below, beside its rivals
            "references.train=false",  # they are trained below, at widths that are no quicker than the found network
            "accelerator=cpu",
        ]
        if self.candidate_images:
            keys += [f"search.images={self.candidate_images}"]
        if self.elastic:
            keys += ["search.scorer=elastic", f"search.trials={self.elastic_trials}"]
            keys += [f"pretraining={PRETRAINING}", f"pretraining.recipe.epochs={self.elastic}"]
            keys += [f"train.epochs={recipe.epochs}"]  # trained further, else inherited weights are handed over
        return keys

    def record(self) -> dict[str, Any]:
        """What figures depend on, as a record of the results; without `search_images` and `candidate_images` where
        these are all, as in the files from before there were other ones."""
        found = {"kind": "setting", **dataclasses.asdict(self), "recipe": self.recipe.to_dict()}
        for name in ("search_images", "candidate_images"):
            if not found[name]:
                del found[name]
        return found
