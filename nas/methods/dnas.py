"""Differentiable search over a stochastic supernet (FBNet, arXiv 1812.03443, 3.2 and 3.3; FBNetV2, 2004.05565, 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from nas.methods.base import SearchResult, Task
from nas.methods.loops.dnas_settings import DNASSettings
from nas.methods.supernets.masked_plan import masked_plan
from search_spaces.space import Genotype, LayerwiseSpace, SearchSpace

if TYPE_CHECKING:
    from nas.networks.network import Network


@dataclass(kw_only=True)
class DNAS(DNASSettings):
    """FBNet's search: weights on one part of the training data, theta on the other, a few steps of each in turn.

    Every epoch passes once over both parts, theta steps spread evenly between weight steps; theta is frozen for the
    first `warmup_epochs`. Weights: SGD (the paper) or AdamW, cosine learning rate; batch norms do not decay. theta:
    Adam. Gradients are computed only for the side that steps. `loss="fbnet"` is the published
    `CE * alpha * log(LAT)^beta`, `loss="ce"` plain cross-entropy; with a budget either is joined by an augmented
    Lagrangian of `LAT <= budget`, LAT under softmax(theta), whose multiplier is updated once an epoch while theta
    moves.

    The space decides the supernet. Where it is layer-wise every candidate of every position has weights of its own
    (`supernets.mixture`). Where it decides widths or depths, blocks that differ in width alone share weights under
    channel masks, a block exists with the probability of the depths that have it, and LAT is the exact expectation of
    the table's entries, each of which several variables decide (`supernets.channel_masks`, `supernets.expected_cost`).

    Departure: FBNetV2 adds the expected cost of the drawn weights to the loss, times a coefficient found by hand.

    `mode`: how many candidates a step runs (see `supernets.paths.draw_path`). `augment`: a policy of
    `nas.data.AUGMENTS`.
    """

    def check(self, space: SearchSpace) -> None:
        """Raise `ValueError` for a space that no supernet holds (such as one that searches the resolution), or no
        compiled one where that is asked for."""
        if not isinstance(space, LayerwiseSpace):
            masked_plan(space)
            self._check_not_compiled(space)

    def _check_not_compiled(self, space: SearchSpace) -> None:
        if self.compile:
            raise ValueError(
                f"compile=true is for layer-wise spaces (such as fbnet); {space.name} decides widths or depths, and "
                "what a step runs depends on the path"
            )

    def search(self, task: Task) -> SearchResult:
        """Train supernet and theta; `probabilities[v]` are those of variable v's choices.

        Raises `ValueError` where the loss is no longer finite; the last epoch is kept.
        """
        from nas.methods.loops.dnas_state import DNASState
        from nas.methods.loops.masking_state import MaskingState
        from nas.methods.supernets.objectives import check_fbnet_unit

        if self.loss == "fbnet":
            check_fbnet_unit(task.cost.reachable()[0])
        state = DNASState(self, task) if isinstance(task.space, LayerwiseSpace) else MaskingState(self, task)
        state.train()
        inherit = cast("Callable[[Genotype], Network]", state.network.extract)  # ReXNets have the same interface
        return SearchResult(state.probabilities(), state.seconds, inherit, epochs=state.epochs_done)
