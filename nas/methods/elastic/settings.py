"""How an elastic supernet is trained, as plain values: one card per size of data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from search_spaces.recipe import Recipe

Sampling = Literal["latency", "genes"]
Pick = Literal["any", "best", "worst"]
Updates = Literal["step", "arch"]
WITHOUT = ("ema_decay", "drop_rate", "drop_path_rate")  # of the recipe: of a single network, not of many in one


@dataclass(frozen=True)
class Pretraining:
    """The training of an elastic supernet by `recipe`: every step trains the largest arch, the smallest and `random`.

    That is the sandwich rule (Yu and Huang, arXiv 1903.05134), with in-place distillation: the largest learns from the
    labels, all others from its outputs (a share `distillation` of their loss; the rest is from the labels).

    `sampling`: `latency` draws random archs uniformly in cost, the table's milliseconds or, where no latency is asked
    for, multiply-adds, from `least` to `most` of the reachable range (0 to 1), which then are where the largest and the
    smallest lie too; `genes` draws every choice uniformly, which concentrates around the middle. `pick`: `best` and
    `worst` train, of `of` archs of one cost, the one of least or largest loss on the step's images (AttentiveNAS's
    best-up and worst-up, arXiv 2011.09011, judged by the batch and not by a predictor). `updates`: one of the weights a
    `step`, by the mean of its losses, or one an `arch`, by its own. `zero_init_residual` holds for blocks that always
    have a shortcut.
    """

    recipe: Recipe
    random: int = 2
    distillation: float = 1.0
    sampling: Sampling = "latency"
    least: float = 0.0
    most: float = 1.0
    pick: Pick = "any"
    of: int = 3
    updates: Updates = "step"

    def __post_init__(self) -> None:
        for name in WITHOUT:
            if getattr(self.recipe, name):
                raise ValueError(
                    f"pretraining.recipe.{name} must be 0 for a supernet, got {getattr(self.recipe, name)}"
                )
        if self.random < 0:
            raise ValueError(f"pretraining.random must be 0 or greater, got {self.random}")
        if not 0 <= self.distillation <= 1:
            raise ValueError(f"pretraining.distillation must lie between 0 and 1, got {self.distillation}")
        if not 0 <= self.least < self.most <= 1:
            raise ValueError(
                f"pretraining.least and .most must rise within 0 and 1, got {self.least:g} and {self.most:g}"
            )
        if self.of < 1:
            raise ValueError(f"pretraining.of must be at least 1, got {self.of}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without the recipe."""
        names = ("random", "distillation", "sampling", "least", "most", "pick", "of")
        found = {name: getattr(self, name) for name in names}
        return found if self.updates == "step" else {**found, "updates": self.updates}  # as it was before there was one
