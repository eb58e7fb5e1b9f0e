"""What is asked of a contest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST = 6  # networks of a contest that nobody asked for
LEAST_EPOCHS = 8  # of a training that is long enough to be cut without being asked
LEAST_IMAGES = 1000  # validation images below which accuracies of good networks differ by chance: 1.5 points and more


@dataclass(frozen=True)
class ContestSettings:
    """`networks` take part (0: no contest; None: `MOST` or none, see `by_default`).

    At each rung one of `reduction` networks stays. `rungs`: epochs at whose ends they are compared (None: by
    `reduction`, see `plan`). `apart`: the share of the choices of the space in which two of them differ at least.
    """

    networks: int | None = None
    reduction: int = 2
    rungs: tuple[int, ...] | None = None
    apart: float = 0.1

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ContestSettings:
        """By the keys of `derive`. A run from before there were contests has none of them, and so no contest."""
        given = {key: config[key] for key in ("reduction", "rungs", "apart") if config.get(key) is not None}
        return cls(config.get("contest", 0), **given)

    def __post_init__(self) -> None:
        if self.networks is not None and (self.networks < 0 or self.networks == 1):
            raise ValueError(f"derive.contest must be 0, which switches it off, or >= 2 networks, got {self.networks}")
        if self.reduction < 2:
            raise ValueError(f"derive.reduction must be >= 2: one of so many networks is left, got {self.reduction}")
        rungs = self.rungs
        if rungs is not None:
            object.__setattr__(self, "rungs", tuple(rungs))
            if not rungs or rungs[0] < 1 or any(b <= a for a, b in itertools.pairwise(rungs)):
                raise ValueError(f"derive.rungs must be epochs >= 1, each above the one before, got {list(rungs)}")
        if not 0 <= self.apart <= 1:
            raise ValueError(f"derive.apart is a share of the choices, between 0 and 1, got {self.apart:g}")

    def distance(self, choices: int) -> int:
        """In how many of so many choices two networks differ at least."""
        return max(1, math.ceil(self.apart * choices - 1e-9))


def by_default(epochs: int, images: int) -> int:
    """How many networks take part where nobody said: `MOST` where a contest can tell them apart, else 0.

    `epochs` of the final training, `images` that judge.
    """
    return MOST if epochs >= LEAST_EPOCHS and images >= LEAST_IMAGES else 0
