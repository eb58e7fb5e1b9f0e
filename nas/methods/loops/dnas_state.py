"""What changes during FBNet's search: a supernet of all candidates, and theta."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nas.methods.base import Task, layerwise
from nas.methods.loops.alternating_state import AlternatingState
from nas.methods.loops.dnas_settings import DNASSettings
from nas.methods.supernets.mixture import PathWeights, Supernet
from nas.methods.supernets.objectives import expected_latency_ms
from nas.runs.seeding import seed_global


class DNASState(AlternatingState):
    """Supernet and theta of `nas.methods.dnas`, and the latency of each candidate."""

    network_key = "supernet"

    def __init__(self, method: DNASSettings, task: Task) -> None:
        seed_global(task.seed, "supernet")
        space = layerwise(task.space)
        self.supernet = Supernet(space)
        sizes = [len(position.candidates) for position in space.positions]
        super().__init__(method, task, self.supernet, sizes)
        self.rows_ms = torch.zeros_like(self.theta)
        for i, row in enumerate(task.cost.rows):
            self.rows_ms[i, : len(row)] = torch.from_numpy(row).float()

    def _taken(self, path: PathWeights) -> PathWeights:
        return path.to(self.device)

    def _cost_of(self, weights: Tensor) -> Tensor:
        return expected_latency_ms(weights, self.task.cost.fixed, self.rows_ms)

    def _expected_cost(self) -> Tensor:
        return self._cost_of(torch.softmax(self.theta, -1))

    def probabilities(self) -> tuple[np.ndarray, ...]:
        p = torch.softmax(self.theta.detach().double(), dim=-1).numpy()
        return tuple(row[:size] / row[:size].sum() for row, size in zip(p, self.sizes, strict=True))
