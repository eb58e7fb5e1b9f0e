"""Differentiable search of widths with channel masks (FBNetV2's DMaskingNAS, arXiv 2004.05565, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from nas.methods.base import SearchResult, Task
from nas.methods.loops.alternating import Alternating
from nas.methods.supernets.width_plan import width_plan
from search_spaces.space import Genotype, SearchSpace

if TYPE_CHECKING:
    from nas.networks.network import Network


@dataclass(kw_only=True)
class Masking(Alternating):
    """Widths by gradient: one set of weights of the widest network, Gumbel-softmax weights over every width.

    As in `nas.methods.dnas`, weights are trained on one part of the training data and theta on the other, a few steps
    of each in turn; theta is frozen for the first `warmup_epochs`. A budget joins the cross-entropy as an augmented
    Lagrangian of the expected cost under softmax(theta), exactly (`supernets.expected_cost`). The space may choose
    output channels only; its further choices must be fixed in the card.

    Departure: the paper adds the expected cost of the drawn weights to the loss, times a coefficient found by hand.
    """

    def check(self, space: SearchSpace) -> None:
        """Raise `ValueError` for a space that decides more than widths."""
        width_plan(space)

    def search(self, task: Task) -> SearchResult:
        """Train the masked network and theta; `probabilities[v]` are those of variable v's choices.

        `integer_programme` takes them to networks within a budget. Raises `ValueError` where the space decides more
        than widths, and where the loss is no longer finite; the last epoch is kept.
        """
        from nas.methods.loops.masking_state import MaskingState

        state = MaskingState(self, task)
        state.train()
        inherit = cast("Callable[[Genotype], Network]", state.masked.slice)  # ReXNets have the same interface
        return SearchResult(state.probabilities(), state.seconds, inherit)
