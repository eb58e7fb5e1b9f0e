"""What a search method is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from nas.data import ImageData
from nas.networks.network import Network
from search_spaces.additive import AdditiveCost
from search_spaces.space import Genotype, LayerwiseSpace, SearchSpace


@dataclass(frozen=True)
class Task:
    """One search problem: data, cost, limit, and where to keep state. `limit_ms` None means no budget.

    `on_epoch(epoch, record)` is called behind every epoch, `on_share(share)` inside of one, with the share of it that
    is done (0 to 1).
    """

    space: SearchSpace
    data: ImageData
    cost: AdditiveCost
    limit_ms: float | None
    seed: int
    accelerator: Accelerator
    checkpoint: Path
    on_epoch: Callable[[int, dict[str, float]], None]
    on_share: Callable[[float], None] = lambda share: None


@dataclass(frozen=True)
class SearchResult:
    """`probabilities[v]`: P(choice) of variable v; `seconds` the search took, over all resumed pieces.

    `inherit(genotype)`: that network with the search's weights. `decided`: the one network that the search itself
    decides, where its method defines one (Single-Path NAS: what its thresholds let through), whatever its cost; None
    where the probabilities are all there is.
    """

    probabilities: tuple[NDArray[np.float64], ...]
    seconds: float
    inherit: Callable[[Genotype], Network] | None = None
    decided: Genotype | None = None


def layerwise(space: SearchSpace) -> LayerwiseSpace:
    """`space`, which must be layer-wise: supernets need candidates of equal output shape per position."""
    if not isinstance(space, LayerwiseSpace):
        raise ValueError(f"this method needs a layer-wise space (such as fbnet); {space.name} is not one")
    return space


class SearchMethod(Protocol):
    """One search algorithm over `epochs` rounds. `search` continues from `task.checkpoint` where that file exists."""

    epochs: int

    def check(self, space: SearchSpace) -> None:
        """Raise `ValueError` where this method cannot search `space`."""
        ...

    def search(self, task: Task) -> SearchResult: ...

    def finished(self, checkpoint: Path) -> int:
        """How many epochs `checkpoint` holds; 0 where there is none. Raises `ValueError` for a damaged one."""
        ...
