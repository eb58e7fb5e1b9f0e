"""What the search itself finds, whatever its kind of method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nas.derive.within_budget import Derived
from nas.networks.network import Network
from search_spaces.space import Genotype


@dataclass(frozen=True)
class Found:
    """Networks `derived` from a search of `seconds`, and the way they were (`derived_by`, or `ranking` of candidates).

    `inherit(genotype)`: that network with the supernet's weights. `trials` candidates were trained, the first derived
    one to `validation_top1_percent`. What the kind of method does not have is None.
    """

    derived: Derived
    seconds: float
    derived_by: str
    inherit: Callable[[Genotype], Network] | None = None
    trials: int | None = None
    validation_top1_percent: float | None = None
