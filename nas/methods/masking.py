"""Differentiable search of widths with channel masks (FBNetV2's DMaskingNAS, arXiv 2004.05565, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nas.methods.base import SearchResult, Task
from nas.methods.dnas import DNAS
from nas.methods.supernets.masked_plan import check_widths_alone, masked_plan
from search_spaces.space import SearchSpace


@dataclass(kw_only=True)
class Masking(DNAS):
    """`nas.methods.dnas` on spaces that choose widths alone: one set of weights, that of the widest network.

    Channels and expansions; the space's further choices must be fixed in the card.
    """

    mode: Literal["soft", "top2", "hard"] = "soft"
    loss: Literal["ce", "fbnet"] = "ce"
    alpha: float = 0.2
    beta: float = 0.6

    def check(self, space: SearchSpace) -> None:
        """Raise `ValueError` for a space that decides more than widths, and for `compile`."""
        check_widths_alone(space, masked_plan(space))
        self._check_not_compiled(space)

    def search(self, task: Task) -> SearchResult:
        """As `DNAS.search`. Raises `ValueError` where the space decides more than widths."""
        self.check(task.space)
        return super().search(task)
