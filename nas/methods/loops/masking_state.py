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
from nas.methods.supernets.mixture import PathWeights
from nas.runs.seeding import seed_global


class MaskingState(AlternatingState):
    """The masked network and theta of `nas.methods.dnas` on spaces that decide widths, and of `nas.methods.masking`."""

    network_key = "weights"

    def __init__(self, method: DNASSettings, task: Task) -> None:
        seed_global(task.seed, "masked network")
        self.masked = MaskedNetwork(task.space)
        sizes = [len(variable) for variable in task.space.variables]
        super().__init__(method, task, self.masked, sizes)
        self.expected = ExpectedCost(task.cost)

    def _taken(self, path: PathWeights) -> list[Tensor]:
        return path.rows(self.sizes)

    def _cost_of(self, weights: Tensor) -> Tensor:
        return self.expected(self._rows(weights))

    def _rows(self, weights: Tensor) -> list[Tensor]:
        """A row per variable without the cells that have no choice."""
        return [row[:size] for row, size in zip(weights, self.sizes, strict=True)]

    def _expected_cost(self) -> Tensor:
        return self._cost_of(torch.softmax(self.theta.double(), dim=-1))

    def probabilities(self) -> tuple[np.ndarray, ...]:
        return tuple(row.numpy() for row in self._rows(torch.softmax(self.theta.detach().double(), dim=-1)))
