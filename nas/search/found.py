"""What the search itself finds, whatever its kind of method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nas.derive.within_budget import Derived
from nas.networks.network import FlatNetwork, Network
from nas.search.ending import Ending
from search_spaces.space import Genotype


@dataclass(frozen=True)
class Found:
    """Networks `derived` from a search of `seconds`, and the way they were (`derived_by`, or `ranking` of candidates).

    `inherit(genotype)`: that network with the supernet's weights; `ending`: how its search ended. `trials` candidates
    were trained, the first derived one to `validation_top1_percent`, and `equals` others to the same.
    `pretrain_seconds`: of the elastic supernet that scored them. `scores`: of the derived networks, by which they are
    in this order, and `score_is`, in words. What the kind of method does not have is None.
    """

    derived: Derived
    seconds: float
    derived_by: str
    inherit: Callable[[Genotype], Network | FlatNetwork] | None = None
    trials: int | None = None
    validation_top1_percent: float | None = None
    equals: int | None = None
    pretrain_seconds: float | None = None
    ending: Ending | None = None
    scores: Mapping[Genotype, float] = field(default_factory=dict)
    score_is: str = "unknown"
