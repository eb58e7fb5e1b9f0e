"""Differentiable search of widths with channel masks (FBNetV2's DMaskingNAS, arXiv 2004.05565, section 3.1)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nas import checkpoint as checkpoints
from nas.data import Split
from nas.expected_cost import ExpectedCost
from nas.gumbel import draw_path, initial_theta
from nas.masking import MaskedNetwork
from nas.methods.base import SearchResult, Task
from nas.methods.epochs import batches, mean_loss
from nas.network import Network
from nas.objectives import augmented_lagrangian, next_multiplier, temperature_at
from nas.seeding import generator, seed_global
from nas.width_plan import width_plan
from search_spaces.modules import zero_init_residuals
from search_spaces.space import Genotype, SearchSpace

FORMAT = "nas.masking"


class Masking:
    """Widths by gradient: one set of weights of the widest network, Gumbel-softmax weights over every width.

    As in `nas.methods.dnas`, weights are trained on one part of the training data and theta on the other, a few steps
    of each in turn; theta is frozen for the first `warmup_epochs`. A budget joins the cross-entropy as an augmented
    Lagrangian of the expected cost under softmax(theta), exactly (`nas.expected_cost`). The space may choose output
    channels only; its further choices must be fixed in the card.

    Departure: the paper adds the expected cost of the drawn weights to the loss, times a coefficient found by hand.
    """

    def __init__(
        self,
        *,
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
        self.epochs, self.warmup_epochs, self.batch_size = epochs, warmup_epochs, batch_size
        self.weight_fraction, self.weight_optimizer = weight_fraction, weight_optimizer
        self.weight_lr, self.weight_momentum, self.weight_decay = weight_lr, weight_momentum, weight_decay
        self.zero_init_residual, self.augment = zero_init_residual, augment
        self.theta_lr, self.theta_betas, self.theta_weight_decay = theta_lr, theta_betas, theta_weight_decay
        self.temperature, self.temperature_decay = temperature, temperature_decay
        self.temperature_floor, self.penalty = temperature_floor, penalty

    def check(self, space: SearchSpace) -> None:
        """Raise `ValueError` for a space that decides more than widths."""
        width_plan(space)

    def finished(self, checkpoint: Path) -> int:
        """Epochs done in `checkpoint`; 0 where there is none."""
        return int(checkpoints.load(checkpoint)["epochs_done"]) if checkpoint.exists() else 0

    def search(self, task: Task) -> SearchResult:
        """Train the masked network and theta; `probabilities[v]` are those of variable v's choices.

        `nas.integer_programme` takes them to networks within a budget. Raises `ValueError` where the space decides more
        than widths, and where the loss is no longer finite; the last epoch is kept.
        """
        state = _State(self, task)
        weight_split, theta_split = task.data.split_train(self.weight_fraction, task.seed)
        for epoch in range(state.restore(), self.epochs):
            began = time.perf_counter()
            record = state.epoch(epoch, weight_split, theta_split)
            state.seconds += time.perf_counter() - began
            state.save(epoch + 1)
            task.on_epoch(epoch, record)
        inherit = cast(Callable[[Genotype], Network], state.masked.slice)  # ReXNets have the same interface
        return SearchResult(state.probabilities(), state.seconds, inherit)


class _State:
    """Everything that changes during a search, and its checkpoint."""

    def __init__(self, method: Masking, task: Task) -> None:
        self.method, self.task = method, task
        self.device = task.accelerator.device
        seed_global(task.seed, "masked network")
        self.masked = MaskedNetwork(task.space).to(self.device).to(memory_format=torch.channels_last)
        if method.zero_init_residual:
            zero_init_residuals(self.masked)
        self.weights = list(self.masked.parameters())
        self.sizes = [len(variable) for variable in task.space.variables]
        self.theta = initial_theta(self.sizes).requires_grad_()
        self.expected = ExpectedCost(task.cost)
        self.multiplier, self.seconds = 0.0, 0.0
        if method.weight_optimizer == "adamw":
            self.weight_optimizer: torch.optim.Optimizer = torch.optim.AdamW(
                self.weights, method.weight_lr, weight_decay=method.weight_decay, fused=True
            )
        else:
            self.weight_optimizer = torch.optim.SGD(
                self.weights, method.weight_lr, method.weight_momentum, weight_decay=method.weight_decay, fused=True
            )
        betas = (method.theta_betas[0], method.theta_betas[1])
        self.theta_optimizer = torch.optim.Adam(
            [self.theta], method.theta_lr, betas=betas, weight_decay=method.theta_weight_decay
        )

    def epoch(self, epoch: int, weight_split: Split, theta_split: Split) -> dict[str, float]:
        """One pass over both parts of the data; returns the figures of the epoch."""
        method, task = self.method, self.task
        seed_global(task.seed, "search", epoch)
        noise = generator(task.seed, "gumbel", epoch)
        temperature = temperature_at(epoch, method.temperature, method.temperature_decay, method.temperature_floor)
        lr = 0.5 * method.weight_lr * (1 + math.cos(math.pi * epoch / method.epochs))
        for group in self.weight_optimizer.param_groups:
            group["lr"] = lr
        learn_theta = epoch >= method.warmup_epochs
        weight_steps = weight_split.num_batches(method.batch_size, drop_last=True)
        theta_steps = theta_split.num_batches(method.batch_size, drop_last=True) if learn_theta else 0
        theta_batches = batches(task, theta_split, "theta", epoch, method.batch_size, method.augment)
        self.masked.train()
        weight_losses: list[Tensor] = []
        theta_losses: list[Tensor] = []
        weight_batches = batches(task, weight_split, "weights", epoch, method.batch_size, method.augment)
        for step, batch in enumerate(weight_batches):
            weight_losses.append(self._weight_step(*batch, temperature, noise))
            # spread theta_steps evenly over weight_steps
            while len(theta_losses) < (step + 1) * theta_steps // weight_steps:
                theta_losses.append(self._theta_step(*next(theta_batches), temperature, noise))
        cure = f"lower method.weight_lr ({method.weight_lr}) or raise method.temperature_floor"
        record = {"temperature": temperature, "lr": lr}
        record["weight_loss"] = mean_loss(task, weight_losses, "weight", epoch, cure)
        if theta_losses:
            record["theta_loss"] = mean_loss(task, theta_losses, "theta", epoch, cure)
        with torch.no_grad():
            expected = float(self.expected(self._rows()))
        if learn_theta and task.limit_ms is not None:
            self.multiplier = next_multiplier(expected / task.limit_ms - 1, self.multiplier, method.penalty)
        entropy = np.mean([-(p * np.log(np.clip(p, 1e-12, None))).sum() for p in self.probabilities()])
        return record | {
            "expected_latency_ms": expected,
            "theta_entropy": float(entropy),
            "multiplier": self.multiplier,
        }

    def _rows(self) -> list[Tensor]:
        """softmax(theta), a row per variable without the cells that have no choice."""
        p = torch.softmax(self.theta.double(), dim=-1)
        return [row[:size] for row, size in zip(p, self.sizes, strict=True)]

    def _weight_step(self, images: Tensor, labels: Tensor, temperature: float, noise: torch.Generator) -> Tensor:
        loss = self._cross_entropy(images, labels, temperature, noise, differentiable=False)
        self.task.accelerator.backward(loss)
        self.weight_optimizer.step()
        self.weight_optimizer.zero_grad()
        return loss.detach()

    def _theta_step(self, images: Tensor, labels: Tensor, temperature: float, noise: torch.Generator) -> Tensor:
        for weight in self.weights:
            weight.requires_grad_(False)
        loss = self._cross_entropy(images, labels, temperature, noise, differentiable=True)
        if self.task.limit_ms is not None:
            violation = self.expected(self._rows()) / self.task.limit_ms - 1
            term = augmented_lagrangian(violation, self.multiplier, self.method.penalty)
            loss = loss + term.float().to(self.device)
        self.task.accelerator.backward(loss)
        # cells without a choice hold -inf: neither gradient nor weight decay may touch them
        assert self.theta.grad is not None
        absent = torch.isinf(self.theta.detach())
        self.theta.grad.masked_fill_(absent, 0.0)
        self.theta_optimizer.step()
        with torch.no_grad():
            self.theta.masked_fill_(absent, -torch.inf)
        self.theta_optimizer.zero_grad()
        for weight in self.weights:
            weight.requires_grad_(True)
        return loss.detach()

    def _cross_entropy(
        self, images: Tensor, labels: Tensor, temperature: float, noise: torch.Generator, differentiable: bool
    ) -> Tensor:
        path, _ = draw_path(self.theta, temperature, "soft", noise, differentiable)
        weights = [row for row in path.weights if row is not None]  # a soft path has weights everywhere
        with self.task.accelerator.autocast():
            logits = self.masked(images, weights)
        return F.cross_entropy(logits.float(), labels)

    def probabilities(self) -> tuple[np.ndarray, ...]:
        return tuple(row.detach().numpy() for row in self._rows())

    def save(self, epochs_done: int) -> None:
        state = {
            "format": FORMAT,
            "space": self.masked.widest.id,
            "epochs_done": epochs_done,
            "theta": self.theta.detach(),
            "multiplier": self.multiplier,
            "seconds": self.seconds,
            "weights": self.masked.state_dict(),
            "weight_optimizer": self.weight_optimizer.state_dict(),
            "theta_optimizer": self.theta_optimizer.state_dict(),
        }
        checkpoints.save(self.task.checkpoint, state)

    def restore(self) -> int:
        """Continue from the checkpoint if there is one; returns the number of finished epochs."""
        path = self.task.checkpoint
        if not path.exists():
            return 0
        state = checkpoints.load(path)
        if state.get("format") != FORMAT or state.get("space") != self.masked.widest.id:
            raise ValueError(f"{path} is a checkpoint of another search; give a new run_dir")
        with torch.no_grad():
            self.theta.copy_(state["theta"])
        self.multiplier, self.seconds = float(state["multiplier"]), float(state["seconds"])
        self.masked.load_state_dict(state["weights"])
        self.weight_optimizer.load_state_dict(state["weight_optimizer"])
        self.theta_optimizer.load_state_dict(state["theta_optimizer"])
        return int(state["epochs_done"])
