"""Differentiable search of widths with channel masks (FBNetV2's DMaskingNAS, arXiv 2004.05565, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from nas.methods.base import SearchResult, Task
from nas.methods.loops.alternating import Alternating, AlternatingState
from nas.methods.supernets.channel_masks import MaskedNetwork
from nas.methods.supernets.expected_cost import ExpectedCost
from nas.methods.supernets.paths import draw_path
from nas.methods.supernets.width_plan import width_plan
from nas.networks.network import Network
from nas.runs.seeding import seed_global
from search_spaces.space import Genotype, SearchSpace


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
        state = _State(self, task)
        self.train(task, state)
        inherit = cast(Callable[[Genotype], Network], state.masked.slice)  # ReXNets have the same interface
        return SearchResult(state.probabilities(), state.seconds, inherit)


class _State(AlternatingState):
    network_key = "weights"

    def __init__(self, method: Masking, task: Task) -> None:
        seed_global(task.seed, "masked network")
        self.masked = MaskedNetwork(task.space)
        sizes = [len(variable) for variable in task.space.variables]
        super().__init__(method, task, self.masked, sizes)
        self.expected = ExpectedCost(task.cost)

    def _loss(
        self, images: Tensor, labels: Tensor, temperature: float, noise: torch.Generator, differentiable: bool
    ) -> Tensor:
        path, _ = draw_path(self.theta, temperature, "soft", noise, differentiable)
        weights = [row for row in path.weights if row is not None]  # a soft path has weights everywhere
        return self._cross_entropy(images, labels, weights)

    def _rows(self) -> list[Tensor]:
        """softmax(theta), a row per variable without the cells that have no choice."""
        p = torch.softmax(self.theta.double(), dim=-1)
        return [row[:size] for row, size in zip(p, self.sizes, strict=True)]

    def _expected_cost(self) -> Tensor:
        return self.expected(self._rows())

    def probabilities(self) -> tuple[np.ndarray, ...]:
        return tuple(row.detach().numpy() for row in self._rows())
