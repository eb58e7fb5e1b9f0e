"""Differentiable search over a stochastic supernet (FBNet, arXiv 1812.03443, sections 3.2 and 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nas.methods.base import SearchResult, Task, layerwise
from nas.methods.loops.alternating import Alternating, AlternatingState
from nas.methods.supernets.mixture import Supernet
from nas.methods.supernets.objectives import check_fbnet_unit, expected_latency_ms, fbnet_loss
from nas.methods.supernets.paths import draw_path
from nas.runs.seeding import seed_global
from search_spaces.space import SearchSpace


@dataclass(kw_only=True)
class DNAS(Alternating):
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

    mode: Literal["soft", "top2", "hard"]
    loss: Literal["ce", "fbnet"]
    alpha: float
    beta: float

    def check(self, space: SearchSpace) -> None:
        """Raise `ValueError` for a space that is not layer-wise."""
        layerwise(space)

    def search(self, task: Task) -> SearchResult:
        """Train supernet and theta. Raises `ValueError` where the loss is no longer finite; the last epoch is kept."""
        if self.loss == "fbnet":
            check_fbnet_unit(task.cost.reachable()[0])
        state = _State(self, task)
        self.train(task, state)
        return SearchResult(state.probabilities(), state.seconds, state.supernet.extract)


class _State(AlternatingState):
    method: DNAS
    network_key = "supernet"

    def __init__(self, method: DNAS, task: Task) -> None:
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
