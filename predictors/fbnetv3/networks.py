"""The networks of FBNetV3's predictor: members trained as one batched computation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from predictors.base import Floats, not_fitted, training_data
from predictors.encoding import Encoding
from predictors.fbnetv3.encoders import Pretrained
from predictors.fbnetv3.settings import FBNetV3Settings
from predictors.warping import Warp
from search_spaces.space import Population, Variable

CHUNK = 1024  # candidates scored at a time: their activations stay in the cache


class MLP:
    """The predictor itself; `fit` always starts from the pre-trained encoders."""

    def __init__(
        self,
        card: FBNetV3Settings,
        variables: Sequence[Variable],
        recipe_variables: Sequence[Variable],
        pretrained: Pretrained,
        seed: int,
    ) -> None:
        self.card, self.seed, self.pretrained = card, seed, pretrained
        self.genes = len(variables)
        self.architecture, self.recipe = Encoding(variables), Encoding(recipe_variables)
        self.encoders = pretrained.encoders
        self.head: list[Tensor] = []
        self.warp: Warp | None = None

    def fit(self, population: Population, targets: Floats) -> None:
        population, targets = training_data(population, targets)
        self.warp = Warp.fit(targets)
        wanted = torch.from_numpy(self.warp.forward(targets).astype(np.float32))
        architecture, recipe = self._inputs(population)
        card = self.card
        with torch.no_grad():
            embedded = self.pretrained.encoders(architecture)
        # embeddings are standardised: how far ReLU units of a member spread is an accident of its start
        self.centre = embedded.mean(dim=(1, 2), keepdim=True)
        self.spread = embedded.std(dim=(1, 2), keepdim=True).clamp_min(1e-6)
        self.encoders = self.pretrained.encoders
        self.head = self._fresh_head(embedded.shape[2] + recipe.shape[1])
        if card.frozen_steps:
            self._descend(self.head, card.head_lr, card.frozen_steps, lambda: embedded, recipe, wanted)
        if card.tuned_steps:
            self.encoders = copy.deepcopy(self.pretrained.encoders).requires_grad_(True)
            parameters = [*self.head, *self.encoders.parameters()]
            self._descend(
                parameters, card.tuned_lr, card.tuned_steps, lambda: self.encoders(architecture), recipe, wanted
            )
            self.encoders.requires_grad_(False)
        self._tabulate()
        self._fold()

    def predict(self, population: Population) -> tuple[Floats, Floats]:
        if self.warp is None:
            raise not_fitted("the FBNetV3 predictor")
        members = self.members_of(population)
        std = members.std(axis=0, ddof=1) if len(members) > 1 else np.zeros(members.shape[1])
        return self.warp.backward(members.mean(axis=0), std)

    def members_of(self, population: Population) -> Floats:
        """Each member's prediction on the warped scale: (members, n)."""
        parts = []
        population = np.atleast_2d(population)
        with torch.no_grad():
            for start in range(0, len(population), CHUNK):
                part = population[start : start + CHUNK]
                genes = self.architecture.check(part[:, : self.genes])
                recipe = torch.from_numpy(self.recipe.encode(part[:, self.genes :]).astype(np.float32))
                parts.append(self._score(self._embed(genes), recipe).numpy())
        return np.concatenate(parts, axis=1).astype(np.float64)

    def _embed(self, genes: Population) -> Tensor:
        """Embeddings (members, n, d): the first layer as a sum of one row per gene instead of a product with zeros."""
        x = F.embedding_bag(torch.from_numpy(genes + self.offsets), self.rows, mode="sum")
        x = x.add_(self.encoders.first_bias).relu_().view(len(genes), self.encoders.members, -1)
        return self.encoders.deeper(x.transpose(0, 1))

    def _tabulate(self) -> None:
        """The first layer's output for every choice: `rows` (choices of all variables, members * width)."""
        encoding, first = self.architecture, self.encoders.first
        self.offsets = np.cumsum([0, *encoding.cardinalities[:-1]])
        parts = [
            torch.from_numpy(table.astype(np.float32)) @ first[torch.from_numpy(encoding.owner == v)]
            for v, table in enumerate(encoding.tables)
        ]
        self.rows = torch.cat(parts).detach()

    def _fold(self) -> None:
        """The head with the standardisation of its inputs folded into its first layer: what `_score` runs."""
        width = self.card.encoder[-1]
        weight, bias = self.head[0], self.head[1]
        of_embedding, of_recipe = weight[:, :width] / self.spread, weight[:, width:]
        share, half = _shares(width, of_recipe.shape[1])
        shift = self.centre * of_embedding.sum(dim=1, keepdim=True) * half
        shift = shift + of_recipe.sum(dim=1, keepdim=True) * share * half
        self.folded = (of_embedding * half, of_recipe * (2 * share * half), bias - shift)

    def _score(self, embedded: Tensor, recipe: Tensor) -> Tensor:
        """What `_forward` computes, in fewer passes over memory: (members, n)."""
        of_embedding, of_recipe, bias = self.folded
        x = torch.baddbmm(bias, embedded, of_embedding)
        if recipe.shape[1]:
            x = x.add_(torch.matmul(recipe, of_recipe))
        for i in range(2, len(self.head), 2):
            x = torch.baddbmm(self.head[i + 1], x.relu_(), self.head[i])
        return x.squeeze(2)

    def _inputs(self, population: Population) -> tuple[Tensor, Tensor]:
        population = np.atleast_2d(population)
        return (
            torch.from_numpy(self.architecture.encode(population[:, : self.genes]).astype(np.float32)),
            torch.from_numpy(self.recipe.encode(population[:, self.genes :]).astype(np.float32)),
        )

    def _fresh_head(self, inputs: int) -> list[Tensor]:
        rng = torch.Generator().manual_seed(self.seed + 1)
        widths = (inputs, *self.card.head, 1)
        head: list[Tensor] = []
        for a, b in pairwise(widths):
            head.append(torch.randn(self.card.members, a, b, generator=rng) * (2 / a) ** 0.5)
            head.append(torch.zeros(self.card.members, 1, b))
        return head

    def _forward(self, embedded: Tensor, recipe: Tensor) -> Tensor:
        x = (embedded - self.centre) / self.spread
        share, half = _shares(x.shape[2], recipe.shape[1])
        x = torch.cat([x, (share * (2 * recipe - 1)).expand(len(x), -1, -1)], dim=2) * half
        for i in range(0, len(self.head), 2):
            x = torch.baddbmm(self.head[i + 1], x, self.head[i])
            x = x.relu_() if i + 2 < len(self.head) else x
        return x.squeeze(2)

    def _descend(
        self,
        parameters: Sequence[Tensor],
        lr: float,
        steps: int,
        embed: Callable[[], Tensor],
        recipe: Tensor,
        wanted: Tensor,
    ) -> None:
        """`steps` of AdamW on the Huber loss, the learning rate falling to zero along a cosine."""
        for parameter in parameters:
            parameter.requires_grad_(True)
        optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=self.card.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            predicted = self._forward(embed(), recipe)
            loss = F.huber_loss(predicted, wanted.expand_as(predicted), reduction="none").mean(dim=1).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        for parameter in parameters:
            parameter.requires_grad_(False)


def _shares(embedding: int, recipe: int) -> tuple[float, float]:
    """Factors of the recipe's columns, then of all: both parts get the same sum of variances, whatever their widths."""
    return ((embedding / recipe) ** 0.5, 0.5**0.5) if recipe else (1.0, 1.0)
