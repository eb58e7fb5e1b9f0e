"""What changes during a search of widths: the masked network, and theta."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nas.methods.base import Task
from nas.methods.loops.alternating import Alternating
from nas.methods.loops.alternating_state import AlternatingState
from nas.methods.supernets.channel_masks import MaskedNetwork
from nas.methods.supernets.expected_cost import ExpectedCost
from nas.methods.supernets.paths import draw_path
from nas.runs.seeding import seed_global


class MaskingState(AlternatingState):
    """The masked network and theta of `nas.methods.masking`."""

    network_key = "weights"

    def __init__(self, method: Alternating, task: Task) -> None:
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
