"""The two kinds of search method, what each is given and what it gives back.

A method says which kind it is by the class it derives from: a `SupernetMethod` trains one supernet and hands over
probabilities of choices, a `CandidateMethod` proposes candidates that are trained one by one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from nas.methods.proposal import Proposal
from nas.runs.keeping.settings import BY_DEFAULT, Keeping
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.space import Genotype, LayerwiseSpace, SearchSpace

if TYPE_CHECKING:
    from accelerate import Accelerator

    from nas.data import ImageData
    from nas.networks.network import Network
    from search_spaces.pricing.budgets import Feasible

Kind = Literal["supernet", "candidates"]


@dataclass(frozen=True)
class Task:
    """One search problem: data, cost, limit, and where to keep state. `limit_ms` None means no budget.

    `on_epoch(epoch, record)` is called behind every epoch, `on_share(share)` inside of one, with the share of it that
    is done (0 to 1). `keeping`: what `checkpoint` loses at most, and what a collapse leads to.
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
    keeping: Keeping = BY_DEFAULT


@dataclass(frozen=True)
class SearchResult:
    """`probabilities[v]`: P(choice) of variable v; `seconds` the search took, over all resumed pieces.

    `inherit(genotype)`: that network with the search's weights. `decided`: the one network that the search itself
    decides, where its method defines one (Single-Path NAS: what its thresholds let through), whatever its cost; None
    where the probabilities are all there is. `epochs`: how many it took of those it was allowed (None: all of them).
    """

    probabilities: tuple[NDArray[np.float64], ...]
    seconds: float
    inherit: Callable[[Genotype], Network] | None = None
    decided: Genotype | None = None
    epochs: int | None = None


def layerwise(space: SearchSpace) -> LayerwiseSpace:
    """`space`, which must be layer-wise: supernets need candidates of equal output shape per position."""
    if not isinstance(space, LayerwiseSpace):
        raise ValueError(f"this method needs a layer-wise space (such as fbnet); {space.name} is not one")
    return space


class SupernetMethod(ABC):
    """A method that trains a supernet for `epochs` epochs (an attribute) and learns the probability of every choice.

    `decided_at`: the mean probability of the likeliest choices with which it ends before; None: it never does.
    """

    kind: ClassVar[Kind] = "supernet"
    epochs: int
    decided_at: float | None = None

    @property
    def derive_mode(self) -> str | None:
        """How a network is derived unless told otherwise (`thresholds`: it decides one itself); None: `budget`."""
        return None

    @property
    def divides_training(self) -> bool:
        """Whether it learns weights and choices on different parts of the training images, each with all classes."""
        return True

    def check(self, space: SearchSpace) -> None:
        """Raise `ValueError` where this method cannot search `space`. By default it can search any."""
        return

    @abstractmethod
    def search(self, task: Task) -> SearchResult:
        """Search, or go on from `task.checkpoint` where that file exists; call `task.on_epoch` behind every epoch, with
        `weight_loss` and `expected_latency_ms` in its record."""

    def work_of(self, epoch: int) -> float:
        """How long `epoch` takes beside the others, in a unit of the method's own; by default all take the same."""
        return 1.0

    def finished(self, checkpoint: Path) -> int:
        """How many epochs `checkpoint` holds; 0 where there is none, and by default: the search begins anew.

        Raises `ValueError` for a damaged one.
        """
        return 0


class CandidateMethod(ABC):
    """A method that proposes candidates; each is trained by itself, and its score told.

    What else it can do (finalists, fronts) its `Proposal` declares. `begins_with_given`: whether candidates that are
    known to be good come before its own.
    """

    kind: ClassVar[Kind] = "candidates"
    begins_with_given: ClassVar[bool] = True

    @abstractmethod
    def start(self, feasible: Feasible, seed: int) -> Proposal:
        """A search in progress over the candidates within the budgets of `feasible`; `seed` decides all it draws."""


Method = SupernetMethod | CandidateMethod


def kind_of(method: object) -> Kind:
    """The declared kind of a method, or of its class. Raises `ValueError` where it declares none."""
    kind = getattr(method, "kind", None)
    if kind not in ("supernet", "candidates"):
        name = method.__name__ if isinstance(method, type) else type(method).__name__
        raise ValueError(
            f"method {name} does not say of what kind it is; derive its class from SupernetMethod or CandidateMethod "
            "of nas.methods.base"
        )
    found: Kind = kind
    return found


def is_supernet(method: Method) -> TypeGuard[SupernetMethod]:
    """Whether `method` trains a supernet; otherwise it proposes candidates."""
    return kind_of(method) == "supernet"
