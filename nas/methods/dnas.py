"""Differentiable search over a stochastic supernet (FBNet, arXiv 1812.03443, sections 3.2 and 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

from nas.methods.base import SearchResult, Task, layerwise
from nas.methods.loops.dnas_settings import DNASSettings
from search_spaces.space import SearchSpace


@dataclass(kw_only=True)
class DNAS(DNASSettings):
    """FBNet's search: weights on one part of the training data, theta on the other, a few steps of each in turn.

    Every epoch passes once over both parts, theta steps spread evenly between weight steps; theta is frozen for the
    first `warmup_epochs`. Weights: SGD (the paper) or AdamW, cosine learning rate; batch norms do not decay. theta:
    Adam. Gradients are computed only for the side that steps. `loss="fbnet"` is the published
    `CE * alpha * log(LAT)^beta`, `loss="ce"` plain cross-entropy; with a budget either is joined by an augmented
    Lagrangian of `LAT <= budget`, LAT under softmax(theta), whose multiplier is updated once an epoch while theta
    moves.

    `mode`: how many candidates a step runs (see `supernets.paths.draw_path`). `augment`: a policy of
    `nas.data.AUGMENTS`.
    """

    def check(self, space: SearchSpace) -> None:
        """Raise `ValueError` for a space that is not layer-wise."""
        layerwise(space)

    def search(self, task: Task) -> SearchResult:
        """Train supernet and theta. Raises `ValueError` where the loss is no longer finite; the last epoch is kept."""
        from nas.methods.loops.dnas_state import DNASState
        from nas.methods.supernets.objectives import check_fbnet_unit

        if self.loss == "fbnet":
            check_fbnet_unit(task.cost.reachable()[0])
        state = DNASState(self, task)
        state.train()
        return SearchResult(state.probabilities(), state.seconds, state.supernet.extract)
