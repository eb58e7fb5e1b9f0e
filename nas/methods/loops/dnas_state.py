"""What changes during FBNet's search: a supernet of all candidates, and theta."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nas.methods.base import Task, layerwise
from nas.methods.loops.alternating_state import AlternatingState
from nas.methods.loops.dnas_settings import DNASSettings
from nas.methods.supernets.mixture import Supernet
from nas.methods.supernets.objectives import expected_latency_ms, fbnet_loss
from nas.methods.supernets.paths import draw_path
from nas.runs.seeding import seed_global


class DNASState(AlternatingState):
    """Supernet and theta of `nas.methods.dnas`, and the latency of each candidate."""

    method: DNASSettings
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

    def _loss(
        self, images: Tensor, labels: Tensor, temperature: float, noise: torch.Generator, differentiable: bool
    ) -> Tensor:
        method = self.method
        path, m = draw_path(self.theta, temperature, method.mode, noise, differentiable)
        loss = self._cross_entropy(images, labels, path.to(self.device))
        # In the product CE * alpha * log(LAT)^beta the second factor only scales the weights' learning rate, by an
        # amount that drifts with the latency. Departure: weights are trained on CE alone.
        if differentiable and method.loss == "fbnet":
            sampled_ms = expected_latency_ms(m, self.task.cost.fixed, self.rows_ms)
            loss = fbnet_loss(loss, sampled_ms.to(self.device), method.alpha, method.beta)
        return loss

    def _expected_cost(self) -> Tensor:
        return expected_latency_ms(torch.softmax(self.theta, -1), self.task.cost.fixed, self.rows_ms)

    def probabilities(self) -> tuple[np.ndarray, ...]:
        p = torch.softmax(self.theta.detach().double(), dim=-1).numpy()
        return tuple(row[:size] / row[:size].sum() for row, size in zip(p, self.sizes, strict=True))
