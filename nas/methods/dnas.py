"""Differentiable search over a stochastic supernet (FBNet, arXiv 1812.03443, sections 3.2 and 3.3)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nas import checkpoint as checkpoints
from nas.data import Split
from nas.gumbel import draw_path, initial_theta
from nas.methods.base import SearchResult, Task, layerwise
from nas.methods.epochs import batches, mean_loss
from nas.objectives import (
    augmented_lagrangian,
    check_fbnet_unit,
    expected_latency_ms,
    fbnet_loss,
    next_multiplier,
    temperature_at,
)
from nas.seeding import generator, seed_global
from nas.supernet import Supernet
from search_spaces.modules import zero_init_residuals
from search_spaces.space import SearchSpace

FORMAT = "nas.dnas"


class DNAS:
    """FBNet's search: weights on one part of the training data, theta on the other, a few steps of each in turn.

    Every epoch passes once over both parts, theta steps spread evenly between weight steps; theta is frozen for the
    first `warmup_epochs`. Weights: SGD (the paper) or AdamW, cosine learning rate. theta: Adam. Gradients are computed
    only for the side that steps. `loss="fbnet"` is the published `CE * alpha * log(LAT)^beta`, `loss="ce"` plain
    cross-entropy; with a budget either is joined by an augmented Lagrangian of `LAT <= budget`, LAT under
    softmax(theta), whose multiplier is updated once an epoch while theta moves.

    `mode`: how many candidates a step runs (see `nas.gumbel.draw_path`). `augment`: a policy of `nas.data.AUGMENTS`.
    """

    def __init__(
        self,
        *,
        mode: Literal["soft", "top2", "hard"],
        epochs: int,
        warmup_epochs: int,
        batch_size: int,
        weight_fraction: float,
        weight_optimizer: Literal["sgd", "adamw"],
        weight_lr: float,
        weight_momentum: float,
        weight_decay: float,
        zero_init_residual: bool,
        theta_lr: float,
        theta_betas: list[float],
        theta_weight_decay: float,
        temperature: float,
        temperature_decay: float,
        temperature_floor: float,
        loss: Literal["ce", "fbnet"],
        alpha: float,
        beta: float,
        penalty: float,
        augment: str | None,
    ) -> None:
        if not 0 <= warmup_epochs < epochs:
            raise ValueError(f"warmup_epochs must lie in 0..epochs-1, got {warmup_epochs} of {epochs} epochs")
        if not 0 < weight_fraction < 1:
            raise ValueError(f"weight_fraction must lie between 0 and 1, got {weight_fraction}")
        positive = {
            "batch_size": batch_size,
            "weight_lr": weight_lr,
            "theta_lr": theta_lr,
            "temperature": temperature,
            "temperature_floor": temperature_floor,
            "penalty": penalty,
        }
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"{name} must be > 0, got {value}")
        self.mode, self.epochs, self.warmup_epochs, self.batch_size = mode, epochs, warmup_epochs, batch_size
        self.weight_fraction = weight_fraction
        self.weight_optimizer = weight_optimizer
        self.weight_lr, self.weight_momentum, self.weight_decay = weight_lr, weight_momentum, weight_decay
        self.zero_init_residual = zero_init_residual
        self.theta_lr, self.theta_betas, self.theta_weight_decay = theta_lr, theta_betas, theta_weight_decay
        self.temperature, self.temperature_decay = temperature, temperature_decay
        self.temperature_floor = temperature_floor
        self.loss, self.alpha, self.beta, self.penalty = loss, alpha, beta, penalty
        self.augment = augment

    def check(self, space: SearchSpace) -> None:
        """Raise `ValueError` for a space that is not layer-wise."""
        layerwise(space)

    def finished(self, checkpoint: Path) -> int:
        """Epochs done in `checkpoint`; 0 where there is none."""
        return int(checkpoints.load(checkpoint)["epochs_done"]) if checkpoint.exists() else 0

    def search(self, task: Task) -> SearchResult:
        """Train supernet and theta. Raises `ValueError` where the loss is no longer finite; the last epoch is kept."""
        if self.loss == "fbnet":
            check_fbnet_unit(task.cost.reachable()[0])
        state = _State(self, task)
        weight_split, theta_split = task.data.split_train(self.weight_fraction, task.seed)
        for epoch in range(state.restore(), self.epochs):
            began = time.perf_counter()
            record = state.epoch(epoch, weight_split, theta_split)
            state.seconds += time.perf_counter() - began
            state.save(epoch + 1)
            task.on_epoch(epoch, record)
        return SearchResult(state.probabilities(), state.seconds, state.supernet.extract)


class _State:
    """Everything that changes during a search, and its checkpoint."""

    def __init__(self, method: DNAS, task: Task) -> None:
        self.method, self.task = method, task
        self.device = task.accelerator.device
        seed_global(task.seed, "supernet")
        self.space = layerwise(task.space)
        self.supernet = Supernet(self.space).to(self.device).to(memory_format=torch.channels_last)
        if method.zero_init_residual:
            zero_init_residuals(self.supernet)
        self.parameters = list(self.supernet.parameters())
        sizes = [len(position.candidates) for position in self.space.positions]
        self.theta = initial_theta(sizes).requires_grad_()
        self.rows_ms = torch.zeros_like(self.theta)
        for i, row in enumerate(task.cost.rows):
            self.rows_ms[i, : len(row)] = torch.from_numpy(row).float()
        self.sizes = sizes
        self.multiplier, self.seconds = 0.0, 0.0
        self.weight_optimizer = self._make_weight_optimizer()
        self.theta_optimizer = torch.optim.Adam(
            [self.theta],
            method.theta_lr,
            betas=(method.theta_betas[0], method.theta_betas[1]),
            weight_decay=method.theta_weight_decay,
        )

    def _make_weight_optimizer(self) -> torch.optim.Optimizer:
        method = self.method
        if method.weight_optimizer == "adamw":
            return torch.optim.AdamW(self.parameters, method.weight_lr, weight_decay=method.weight_decay, fused=True)
        return torch.optim.SGD(
            self.parameters, method.weight_lr, method.weight_momentum, weight_decay=method.weight_decay, fused=True
        )

    def epoch(self, epoch: int, weight_split: Split, theta_split: Split) -> dict[str, float]:
        """One pass over both parts of the data; returns the figures of the epoch."""
        method, seed = self.method, self.task.seed
        seed_global(seed, "search", epoch)
        noise = generator(seed, "gumbel", epoch)
        temperature = temperature_at(epoch, method.temperature, method.temperature_decay, method.temperature_floor)
        lr = 0.5 * method.weight_lr * (1 + math.cos(math.pi * epoch / method.epochs))
        for group in self.weight_optimizer.param_groups:
            group["lr"] = lr
        learn_theta = epoch >= method.warmup_epochs
        weight_steps = weight_split.num_batches(method.batch_size, drop_last=True)
        theta_steps = theta_split.num_batches(method.batch_size, drop_last=True) if learn_theta else 0
        weight_batches = self._batches(weight_split, "weights", epoch)
        theta_batches = self._batches(theta_split, "theta", epoch)
        self.supernet.train()
        weight_losses: list[Tensor] = []
        theta_losses: list[Tensor] = []
        for step in range(weight_steps):
            weight_losses.append(self._weight_step(*next(weight_batches), temperature, noise))
            # spread theta_steps evenly over weight_steps
            due = (step + 1) * theta_steps // weight_steps
            while len(theta_losses) < due:
                theta_losses.append(self._theta_step(*next(theta_batches), temperature, noise))
        record = {"temperature": temperature, "lr": lr, "weight_loss": self._mean(weight_losses, "weight", epoch)}
        if theta_losses:
            record["theta_loss"] = self._mean(theta_losses, "theta", epoch)
        probabilities = torch.softmax(self.theta.detach(), dim=-1)
        expected = float(expected_latency_ms(probabilities, self.task.cost.fixed, self.rows_ms))
        if learn_theta and self.task.limit_ms is not None:
            violation = expected / self.task.limit_ms - 1
            self.multiplier = next_multiplier(violation, self.multiplier, method.penalty)
        entropy = -(probabilities * probabilities.clamp_min(1e-12).log()).sum(-1).mean()
        record |= {
            "expected_latency_ms": expected,
            "theta_entropy": float(entropy),
            "multiplier": self.multiplier,
        }
        return record

    def _batches(self, split: Split, part: str, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        return batches(self.task, split, part, epoch, self.method.batch_size, self.method.augment)

    def _weight_step(self, images: Tensor, labels: Tensor, temperature: float, noise: torch.Generator) -> Tensor:
        # In the product CE * alpha * log(LAT)^beta the second factor only scales the weights' learning rate, by an
        # amount that drifts with the latency. Departure: weights are trained on CE alone.
        path, _ = draw_path(self.theta, temperature, self.method.mode, noise, differentiable=False)
        loss = self._cross_entropy(images, labels, path.to(self.device))
        self.task.accelerator.backward(loss)
        self.weight_optimizer.step()
        self.weight_optimizer.zero_grad()
        return loss.detach()

    def _theta_step(self, images: Tensor, labels: Tensor, temperature: float, noise: torch.Generator) -> Tensor:
        method, task = self.method, self.task
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        path, m = draw_path(self.theta, temperature, method.mode, noise, differentiable=True)
        loss = self._cross_entropy(images, labels, path.to(self.device))
        if method.loss == "fbnet":
            sampled_ms = expected_latency_ms(m, task.cost.fixed, self.rows_ms)
            loss = fbnet_loss(loss, sampled_ms.to(self.device), method.alpha, method.beta)
        if task.limit_ms is not None:
            mean_ms = expected_latency_ms(torch.softmax(self.theta, -1), task.cost.fixed, self.rows_ms)
            violation = mean_ms / task.limit_ms - 1
            loss = loss + augmented_lagrangian(violation, self.multiplier, method.penalty).to(self.device)
        task.accelerator.backward(loss)
        # cells without a candidate hold -inf: neither gradient nor weight decay may touch them
        assert self.theta.grad is not None
        absent = torch.isinf(self.theta.detach())
        self.theta.grad.masked_fill_(absent, 0.0)
        self.theta_optimizer.step()
        with torch.no_grad():
            self.theta.masked_fill_(absent, -torch.inf)
        self.theta_optimizer.zero_grad()
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        return loss.detach()

    def _cross_entropy(self, images: Tensor, labels: Tensor, path: Any) -> Tensor:
        with self.task.accelerator.autocast():
            logits = self.supernet(images, path)
        return F.cross_entropy(logits.float(), labels)

    def _mean(self, losses: list[Tensor], part: str, epoch: int) -> float:
        cure = f"lower method.weight_lr ({self.method.weight_lr}) or raise method.temperature_floor"
        return mean_loss(self.task, losses, part, epoch, cure)

    def probabilities(self) -> tuple[np.ndarray, ...]:
        p = torch.softmax(self.theta.detach().double(), dim=-1).numpy()
        return tuple(row[:size] / row[:size].sum() for row, size in zip(p, self.sizes, strict=True))

    def save(self, epochs_done: int) -> None:
        checkpoints.save(
            self.task.checkpoint,
            {
                "format": FORMAT,
                "space": self.space.skeleton.id,
                "epochs_done": epochs_done,
                "theta": self.theta.detach(),
                "multiplier": self.multiplier,
                "seconds": self.seconds,
                "supernet": self.supernet.state_dict(),
                "weight_optimizer": self.weight_optimizer.state_dict(),
                "theta_optimizer": self.theta_optimizer.state_dict(),
            },
        )

    def restore(self) -> int:
        """Continue from the checkpoint if there is one; returns the number of finished epochs."""
        path = self.task.checkpoint
        if not path.exists():
            return 0
        state = checkpoints.load(path)
        if state.get("format") != FORMAT or state.get("space") != self.space.skeleton.id:
            raise ValueError(f"{path} is a checkpoint of another search; give a new run_dir")
        with torch.no_grad():
            self.theta.copy_(state["theta"])
        self.multiplier, self.seconds = state["multiplier"], state["seconds"]
        self.supernet.load_state_dict(state["supernet"])
        self.weight_optimizer.load_state_dict(state["weight_optimizer"])
        self.theta_optimizer.load_state_dict(state["theta_optimizer"])
        return int(state["epochs_done"])
