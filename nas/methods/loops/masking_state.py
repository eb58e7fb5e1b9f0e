"""What changes during a search of blocks and widths: the masked network, and theta."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nas.methods.base import Task
from nas.methods.loops.alternating_state import AlternatingState
from nas.methods.loops.dnas_settings import DNASSettings
from nas.methods.supernets.channel_masks import MaskedNetwork
from nas.methods.supernets.expected_cost import ExpectedCost
from nas.methods.supernets.objectives import fbnet_loss
from nas.methods.supernets.paths import draw_path
from nas.runs.seeding import seed_global


class MaskingState(AlternatingState):
    """The masked network and theta of `nas.methods.dnas` on spaces that decide widths, and of `nas.methods.masking`."""

    method: DNASSettings
    network_key = "weights"

    def __init__(self, method: DNASSettings, task: Task) -> None:
        seed_global(task.seed, "masked network")
        self.masked = MaskedNetwork(task.space)
        sizes = [len(variable) for variable in task.space.variables]
        super().__init__(method, task, self.masked, sizes)
        self.expected = ExpectedCost(task.cost)

    def _loss(
        self, images: Tensor, labels: Tensor, temperature: float, noise: torch.Generator, differentiable: bool
    ) -> Tensor:
        method = self.method
        path, m = draw_path(self.theta, temperature, method.mode, noise, differentiable)
        loss = self._cross_entropy(images, labels, path.rows(self.sizes))
        if differentiable and method.loss == "fbnet":  # of theta alone, as in `DNASState`
            sampled_ms = self.expected(self._rows(m)).float()
            loss = fbnet_loss(loss, sampled_ms.to(self.device), method.alpha, method.beta)
        return loss

    def _rows(self, weights: Tensor) -> list[Tensor]:
        """A row per variable without the cells that have no choice."""
        return [row[:size] for row, size in zip(weights, self.sizes, strict=True)]

    def _expected_cost(self) -> Tensor:
        return self.expected(self._rows(torch.softmax(self.theta.double(), dim=-1)))

    def probabilities(self) -> tuple[np.ndarray, ...]:
        return tuple(row.numpy() for row in self._rows(torch.softmax(self.theta.detach().double(), dim=-1)))
