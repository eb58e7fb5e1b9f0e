"""What changes while weights and theta are trained in turn, and one epoch of it; see `alternating`."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.data import Split
from nas.data.split import Batches
from nas.methods.base import Task
from nas.methods.loops.dnas_settings import DNASSettings
from nas.methods.loops.epochs import batches, mean_entropy, mean_loss, passes
from nas.methods.loops.state import State
from nas.methods.supernets.mixture import PathWeights
from nas.methods.supernets.objectives import augmented_lagrangian, fbnet_loss, next_multiplier, row_entropies
from nas.methods.supernets.paths import draw_path, initial_theta
from nas.runs.seeding import generator, seed_global
from nas.train.accelerator import begin, share_buffers
from nas.train.optimizer import sparing_norms
from nas.train.several.batch_norm import statistics
from nas.train.several.gradients import backward
from search_spaces.blocks.parts.initialisation import zero_init_residuals


class AlternatingState(State):
    """Everything that changes during a search.

    `network` as built, before any move; `sizes[v]`: choices of variable v; theta: (variables, most choices), -inf where
    a variable has no such choice. `network_key`: the name of the network's weights in the checkpoint.
    """

    method: DNASSettings
    network_key: ClassVar[str]

    def __init__(self, method: DNASSettings, task: Task, network: nn.Module, sizes: Sequence[int]) -> None:
        super().__init__(method, task)
        self.sizes = sizes
        self.device = task.accelerator.device
        self.network = network.to(self.device).to(memory_format=torch.channels_last)
        if method.zero_init_residual:
            zero_init_residuals(network)
        self.weights = list(network.parameters())
        groups = sparing_norms(network, self.weights, method.weight_decay)
        self.theta = initial_theta(sizes).requires_grad_()
        self.model = self.compiled(self.network)
        begin(task.accelerator)
        self.weight_optimizer = task.accelerator.prepare(self._weight_optimizer(groups))
        betas = (method.theta_betas[0], method.theta_betas[1])
        self.theta_optimizer = task.accelerator.prepare(
            torch.optim.Adam([self.theta], method.theta_lr, betas=betas, weight_decay=method.theta_weight_decay)
        )

    def _weight_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        if self.method.weight_optimizer == "adamw":
            return torch.optim.AdamW(groups, self.method.weight_lr, fused=True)
        # torch's fused SGD fails where a path gives gradients to weights that have no momentum yet
        return torch.optim.SGD(groups, self.method.weight_lr, self.method.weight_momentum)

    def _loss(
        self, images: Tensor, labels: Tensor, temperature: float, noise: torch.Generator, differentiable: bool
    ) -> Tensor:
        """The loss of one batch on a drawn path, without the budget's term; `differentiable`: in theta."""
        method = self.method
        path, m = draw_path(self.theta, temperature, method.mode, noise, differentiable, method.negligible)
        loss = self._cross_entropy(images, labels, self._taken(path))
        # In the product CE * alpha * log(LAT)^beta the second factor only scales the weights' learning rate, by an
        # amount that drifts with the latency. Departure: weights are trained on CE alone.
        if differentiable and method.loss == "fbnet":
            loss = fbnet_loss(loss, self._cost_of(m).float().to(self.device), method.alpha, method.beta)
        return loss

    @abstractmethod
    def _taken(self, path: PathWeights) -> Any:
        """`path` as the network takes it."""

    @abstractmethod
    def _cost_of(self, weights: Tensor) -> Tensor:
        """The expected cost where choices have `weights`, as theta has them, in the unit of the task's limit."""

    @abstractmethod
    def _expected_cost(self) -> Tensor:
        """The expected cost under softmax(theta), a scalar in the unit of the task's limit."""

    def train(self) -> None:
        """All epochs that are still to be done, on the two parts of the training data."""
        parts = self.task.data.split_train(self.method.weight_fraction, self.task.seed)
        self.method.run(self.task, self, lambda epoch: self.epoch(epoch, *parts))

    def epoch(self, epoch: int, weight_split: Split, theta_split: Split) -> dict[str, float]:
        """One pass over both parts of the data; returns the figures of the epoch."""
        method, task = self.method, self.task
        seed_global(task.seed, "search", epoch)
        noise = generator(task.seed, "gumbel", epoch)
        temperature, sharpen = method.temperature_of(epoch), method.entropy_at(epoch)
        lr = self.watch.factor * 0.5 * method.weight_lr * (1 + math.cos(math.pi * epoch / method.epochs))
        for group in self.weight_optimizer.param_groups:
            group["lr"] = lr
        for group in self.theta_optimizer.param_groups:
            group["lr"] = self.watch.factor * method.theta_lr
        learn_theta = epoch >= method.warmup
        weight_steps = weight_split.num_batches(method.batch_size, drop_last=True)
        a_pass = theta_split.num_batches(method.batch_size, drop_last=True)
        theta_steps = method.theta_passes * a_pass if learn_theta else 0
        weight_losses: list[Tensor] = []
        theta_losses: list[Tensor] = []
        self.under_way.take_up(noise, weight=weight_losses, theta=theta_losses)
        first, numbers = len(weight_losses), range(epoch * method.theta_passes, (epoch + 1) * method.theta_passes)
        theta_batches = passes(lambda i: self._batches(theta_split, "theta", i), numbers, a_pass, len(theta_losses))
        self.network.train()
        for step, batch in enumerate(self._batches(weight_split, "weights", epoch).skip(first), first):
            weight_losses.append(self._weight_step(*batch, temperature, noise))
            # spread theta_steps evenly over weight_steps
            while len(theta_losses) < (step + 1) * theta_steps // weight_steps:
                theta_losses.append(self._theta_step(*next(theta_batches), temperature, noise, sharpen))
            task.on_share((step + 1) / weight_steps)
            self.under_way.keep(noise, weight=weight_losses, theta=theta_losses)
        share_buffers(self.network, task.accelerator)
        fix = f"lower method.weight_lr ({method.weight_lr}) or raise method.temperature_floor"
        record = {"temperature": temperature, "lr": lr}
        record["weight_loss"] = mean_loss(task, weight_losses, "weight", epoch, fix)
        if theta_losses:
            record["theta_loss"] = mean_loss(task, theta_losses, "theta", epoch, fix)
        with torch.no_grad():
            expected = float(self._expected_cost())
        if learn_theta and task.limit_ms is not None:
            self.multiplier = next_multiplier(expected / task.limit_ms - 1, self.multiplier, method.penalty)
        return record | {
            "expected_latency_ms": expected,
            "theta_entropy": mean_entropy(self.probabilities()),
            "multiplier": self.multiplier,
        }

    def _batches(self, split: Split, part: str, epoch: int) -> Batches:
        return batches(self.task, split, part, epoch, self.method.batch_size, self.method.augment)

    def _weight_step(self, images: Tensor, labels: Tensor, temperature: float, noise: torch.Generator) -> Tensor:
        loss = self._loss(images, labels, temperature, noise, differentiable=False)
        found = backward(self.task.accelerator, loss, self.weights)
        self.weight_optimizer.step()
        self.weight_optimizer.zero_grad()
        return found

    def _theta_step(
        self, images: Tensor, labels: Tensor, temperature: float, noise: torch.Generator, sharpen: float = 0.0
    ) -> Tensor:
        """One step of theta; `sharpen`: weight of the sum over variables of its normalised entropies."""
        for weight in self.weights:
            weight.requires_grad_(False)
        loss = self._loss(images, labels, temperature, noise, differentiable=True)
        if self.task.limit_ms is not None:
            violation = self._expected_cost() / self.task.limit_ms - 1
            term = augmented_lagrangian(violation, self.multiplier, self.method.penalty)
            loss = loss + term.float().to(self.device)
        if sharpen:
            loss = loss + sharpen * row_entropies(self.theta).sum().to(self.device)
        found = backward(self.task.accelerator, loss, [self.theta])
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
        return found

    def _cross_entropy(self, images: Tensor, labels: Tensor, path: Any) -> Tensor:
        with self.task.accelerator.autocast(), statistics(self.task.accelerator):
            logits = self.model(images, path)
        return F.cross_entropy(logits.float(), labels)

    def parts(self) -> dict[str, Any]:
        """What a checkpoint keeps, by its name there."""
        return {
            "theta": self.theta,
            self.network_key: self.network,
            "weight_optimizer": self.weight_optimizer,
            "theta_optimizer": self.theta_optimizer,
        }
