"""Architecture encoders that learn from free statistics of architectures nobody has trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from predictors.base import Statistics
from predictors.encoding import Encoding
from predictors.pretraining import Pretraining
from predictors.scores import NormalScores
from search_spaces.space import Population, Variable


class Encoders(nn.Module):
    """Several multi-layer perceptrons of one shape, run as one batched computation: genotypes to embeddings.

    `widths`: of the hidden layers and, last, of the embedding; ReLU after each. All members share one matrix product in
    the first layer, a batched product per member after it.
    """

    def __init__(self, inputs: int, widths: Sequence[int], members: int, rng: torch.Generator) -> None:
        super().__init__()
        self.members, self.widths = members, tuple(widths)
        self.first = nn.Parameter(torch.randn(inputs, members * widths[0], generator=rng) * (2 / max(inputs, 1)) ** 0.5)
        self.first_bias = nn.Parameter(torch.zeros(members * widths[0]))
        self.weights = nn.ParameterList(
            torch.randn(members, a, b, generator=rng) * (2 / a) ** 0.5 for a, b in pairwise(widths)
        )
        self.biases = nn.ParameterList(torch.zeros(members, 1, b) for b in widths[1:])

    def forward(self, encoded: Tensor) -> Tensor:
        """`encoded` (n, inputs) to embeddings (members, n, widths[-1])."""
        x = torch.addmm(self.first_bias, encoded, self.first).relu_()
        return self.deeper(x.view(len(encoded), self.members, self.widths[0]).transpose(0, 1))

    def deeper(self, x: Tensor) -> Tensor:
        """From the first hidden layer (members, n, widths[0]) on."""
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = torch.baddbmm(bias, x, weight).relu_()
        return x


@dataclass(frozen=True)
class Pretrained:
    """Encoders, the variance of each statistic they explain (R2 on the last batch), the number of samples seen."""

    encoders: Encoders
    r2: tuple[float, ...]
    samples: int


def pretrain(
    encoders: Encoders,
    variables: Sequence[Variable],
    statistics: Statistics,
    how: Pretraining,
    seed: int,
    pool: Population | None = None,
) -> Pretrained:
    """Train `encoders` so that one linear layer reads the statistics off the embedding (arXiv 2006.02049, section 3).

    Architectures are drawn uniformly from the space, or from `pool`. The target of each statistic is its normal score
    among those drawn, so that orders of magnitude and heavy tails count alike; the loss is the mean squared error.
    Departure: normal scores and fresh samples throughout, where a reading of the paper standardises the values of
    10,000 architectures and passes over them ten times.
    """
    rng = np.random.default_rng([seed, 1])
    encoding = Encoding(variables)
    if pool is None:
        drawn = rng.integers(0, encoding.cardinalities, (how.samples, len(variables)))
        rows = np.arange(len(drawn))
    else:
        drawn = encoding.check(pool)
        passes = -(-how.samples // len(drawn))
        rows = np.concatenate([rng.permutation(len(drawn)) for _ in range(passes)])[: how.samples]
    scores = torch.from_numpy(NormalScores(statistics, drawn).of_reference.astype(np.float32))
    head = torch.zeros(encoders.members, encoders.widths[-1], scores.shape[1], requires_grad=True)
    bias = torch.zeros(encoders.members, 1, scores.shape[1], requires_grad=True)
    batches = [rows[start : start + how.batch_size] for start in range(0, len(rows), how.batch_size)]
    optimizer = torch.optim.Adam([*encoders.parameters(), head, bias], lr=how.lr, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, how.lr, total_steps=max(len(batches), 2))
    residual = torch.zeros(scores.shape[1])
    target = scores[:1]
    for batch in batches:
        encoded = torch.from_numpy(encoding.encode(drawn[batch]).astype(np.float32))
        target = scores[torch.from_numpy(batch)]
        error = torch.baddbmm(bias, encoders(encoded), head) - target
        optimizer.zero_grad()
        error.square().mean(dim=(1, 2)).sum().backward()
        optimizer.step()
        schedule.step()
        residual = error.detach().square().mean(dim=(0, 1))
    spread = target.var(dim=0, correction=0).clamp_min(1e-12)
    return Pretrained(encoders.requires_grad_(False), tuple((1 - residual / spread).tolist()), len(rows))
