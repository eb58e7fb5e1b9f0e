"""The training loops of superkernels: the published one and the default."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from timm.optim import RMSpropTF
from torch import Tensor, nn

from nas.data import Split
from nas.data.split import Batches
from nas.methods.base import Task, layerwise
from nas.methods.loops.epochs import batches, mean_entropy, mean_loss, passes
from nas.methods.loops.state import State
from nas.methods.loops.superkernel_settings import SuperkernelSettings
from nas.methods.supernets.objectives import (
    augmented_lagrangian,
    next_multiplier,
    row_entropies,
    single_path_loss,
    single_path_runtime_ms,
)
from nas.methods.supernets.superkernel import Superkernel
from nas.methods.supernets.superkernel_block import Indicators
from nas.runs.seeding import generator, seed_global
from nas.train.accelerator import begin, share_buffers
from nas.train.optimizer import sparing_norms
from nas.train.several.batch_norm import statistics
from nas.train.several.gradients import backward
from search_spaces.blocks.parts.initialisation import zero_init_residuals

STEP_DECAY, STEP_EPOCHS = 0.97, 2.4  # of the staircase learning rate (the released code)


class Training(State):
    """What changes during a search. Subclasses: one epoch of either mode."""

    method: SuperkernelSettings

    def __init__(self, method: SuperkernelSettings, task: Task) -> None:
        super().__init__(method, task)
        self.device = task.accelerator.device
        seed_global(task.seed, "superkernel")
        self.space = layerwise(task.space)
        self.net = Superkernel(self.space, method.mode).to(self.device).to(memory_format=torch.channels_last)
        if method.zero_init_residual:
            zero_init_residuals(self.net)
        self.rows_ms = [torch.from_numpy(row).float().to(self.device) for row in task.cost.rows]
        self.model = self.compiled(self.net)  # of paths under masks; slices are of another shape each time
        begin(task.accelerator)
        self.optimizers = {name: task.accelerator.prepare(made) for name, made in self._make_optimizers().items()}

    @abstractmethod
    def _make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimisers of this mode, by name."""

    @abstractmethod
    def epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the data; returns the figures of the epoch."""

    def weight_optimizer(self, extra: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of the weights, and of `extra`, which decays like them."""
        method = self.method
        groups = sparing_norms(self.net, self.net.weights(), method.weight_decay, extra)
        if method.weight_optimizer == "adamw":
            return torch.optim.AdamW(groups, method.weight_lr, fused=True)
        if method.weight_optimizer == "rmsproptf":
            return RMSpropTF(groups, method.weight_lr, alpha=0.9, eps=1e-3, momentum=method.weight_momentum)
        # torch's fused SGD fails where a path gives gradients to weights that have no momentum yet
        return torch.optim.SGD(groups, method.weight_lr, method.weight_momentum)

    def learning_rate(self, epoch: int, step: int, steps: int) -> float:
        """Of step `step` of `steps` in `epoch`, set in the weights' optimiser."""
        method = self.method
        if method.schedule == "cosine":
            lr = 0.5 * method.weight_lr * (1 + math.cos(math.pi * epoch / method.epochs))
        else:
            lr = method.weight_lr * STEP_DECAY ** math.floor((epoch + step / steps) / STEP_EPOCHS)
        lr *= self.watch.factor
        for group in self.optimizers["weights"].param_groups:
            group["lr"] = lr
        return lr

    def batches(self, split: Split, part: str, epoch: int) -> Batches:
        return batches(self.task, split, part, epoch, self.method.batch_size, self.method.augment)

    def cross_entropy(
        self, images: Tensor, labels: Tensor, path: tuple[int, ...] | list[Indicators], smoothing: float
    ) -> Tensor:
        with self.task.accelerator.autocast(), statistics(self.task.accelerator):
            model = self.model if isinstance(path, list) else self.net
            logits = model(images, path)
        return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)

    def mean(self, losses: list[Tensor], part: str, epoch: int) -> float:
        share_buffers(self.net, self.task.accelerator)
        return mean_loss(self.task, losses, part, epoch, f"lower method.weight_lr ({self.method.weight_lr})")

    @torch.no_grad()
    def probabilities(self) -> tuple[np.ndarray, ...]:
        """P(candidate) of each position, in double precision: products of sigmoids lie close to 0 and 1."""
        rows = copy.deepcopy(self.net).cpu().double().probabilities()
        return tuple((row / row.sum()).numpy() for row in rows)

    def parts(self) -> dict[str, Any]:
        """What a checkpoint keeps, by its name there."""
        return {"superkernel": self.net, **self.optimizers}


class DefaultTraining(Training):
    """Weights on one part of the images, thresholds on the other."""

    def __init__(self, method: SuperkernelSettings, task: Task) -> None:
        super().__init__(method, task)
        self.sizes = torch.from_numpy(task.space.cardinalities)
        self.weights = self.net.weights()

    def _make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        betas = (self.method.threshold_betas[0], self.method.threshold_betas[1])
        thresholds = [p for p in self.net.thresholds() if p.numel()]
        return {
            "weights": self.weight_optimizer([]),
            "thresholds": torch.optim.Adam(thresholds, self.method.threshold_lr, betas=betas),
        }

    def epoch(self, epoch: int) -> dict[str, float]:
        method, seed = self.method, self.task.seed
        seed_global(seed, "search", epoch)
        noise = generator(seed, "paths", epoch)
        weight_split, threshold_split = self.task.data.split_train(method.weight_fraction, seed)
        learn = epoch >= method.warmup
        weight_steps = weight_split.num_batches(method.batch_size, drop_last=True)
        a_pass = threshold_split.num_batches(method.batch_size, drop_last=True)
        threshold_steps = method.theta_passes * a_pass if learn else 0
        weight_losses: list[Tensor] = []
        threshold_losses: list[Tensor] = []
        self.under_way.take_up(noise, weight=weight_losses, threshold=threshold_losses)
        first, numbers = len(weight_losses), range(epoch * method.theta_passes, (epoch + 1) * method.theta_passes)
        weight_batches = self.batches(weight_split, "weights", epoch).skip(first)
        done = len(threshold_losses)
        threshold_batches = passes(lambda i: self.batches(threshold_split, "thresholds", i), numbers, a_pass, done)
        for group in self.optimizers["thresholds"].param_groups:
            group["lr"] = self.watch.factor * method.threshold_lr
        self.net.train()
        odds, sharpen = self._odds(learn), method.entropy_at(epoch)
        lr = self.learning_rate(epoch, max(first - 1, 0), weight_steps)
        for step in range(first, weight_steps):
            lr = self.learning_rate(epoch, step, weight_steps)
            weight_losses.append(self._weight_step(*next(weight_batches), draw(odds, self.sizes, noise)))
            due = (step + 1) * threshold_steps // weight_steps  # spread evenly
            while len(threshold_losses) < due:
                threshold_losses.append(self._threshold_step(*next(threshold_batches), noise, sharpen))
                odds = self._odds(learn)
            self.task.on_share((step + 1) / weight_steps)
            self.under_way.keep(noise, weight=weight_losses, threshold=threshold_losses)
        record = {"lr": lr, "weight_loss": self.mean(weight_losses, "weight", epoch)}
        if threshold_losses:
            record["theta_loss"] = self.mean(threshold_losses, "threshold", epoch)
        with torch.no_grad():
            expected = float(self._expected_ms())
        if learn and self.task.limit_ms is not None:
            self.multiplier = next_multiplier(expected / self.task.limit_ms - 1, self.multiplier, method.penalty)
        return record | {
            "expected_latency_ms": expected,
            "theta_entropy": mean_entropy(self.probabilities()),
            "multiplier": self.multiplier,
        }

    @torch.no_grad()
    def _odds(self, learn: bool) -> Tensor:
        """P(candidate) that paths are drawn with, (positions, most candidates), zeros beyond a position's own."""
        if not learn:
            rows = [torch.full((int(size),), 1.0 / int(size)) for size in self.sizes]
        else:
            rows = self.net.probabilities()
        return nn.utils.rnn.pad_sequence(rows, batch_first=True).cpu()

    def _expected_ms(self) -> Tensor:
        """Expected latency over the table's exact entries, milliseconds."""
        rows = zip(self.net.probabilities(), self.rows_ms, strict=True)
        return self.task.cost.fixed + torch.stack([(p * ms).sum() for p, ms in rows]).sum()

    def _weight_step(self, images: Tensor, labels: Tensor, path: tuple[int, ...]) -> Tensor:
        loss = self.cross_entropy(images, labels, path, self.method.label_smoothing)
        found = backward(self.task.accelerator, loss, self.weights)
        self.optimizers["weights"].step()
        self.optimizers["weights"].zero_grad()
        return found

    def _threshold_step(self, images: Tensor, labels: Tensor, noise: torch.Generator, sharpen: float = 0.0) -> Tensor:
        """One step of the thresholds; `sharpen`: weight of the sum over positions of their normalised entropies."""
        method, limit = self.method, self.task.limit_ms
        for parameter in self.weights:
            parameter.requires_grad_(False)
        logistic = torch.rand(self.net.num_decisions, generator=noise).logit(eps=1e-7).to(self.device)
        loss = self.cross_entropy(images, labels, self.net.indicators(logistic), 0.0)
        expected = self._expected_ms()
        if limit is not None:
            loss = loss + augmented_lagrangian(expected / limit - 1, self.multiplier, method.penalty)
        else:
            loss = single_path_loss(loss, expected, method.latency_weight)
        if sharpen:
            logits = [p.clamp_min(torch.finfo(p.dtype).tiny).log() for p in self.net.probabilities()]
            rows = nn.utils.rnn.pad_sequence(logits, batch_first=True, padding_value=-math.inf)
            loss = loss + sharpen * row_entropies(rows).sum()
        found = backward(self.task.accelerator, loss, self.net.thresholds())
        self.optimizers["thresholds"].step()
        self.optimizers["thresholds"].zero_grad()
        for parameter in self.weights:
            parameter.requires_grad_(True)
        return found


class PaperTraining(Training):
    """Everything on all images, with one optimiser."""

    def __init__(self, method: SuperkernelSettings, task: Task) -> None:
        super().__init__(method, task)
        if any(True in block.nest.se for block in self.net.blocks):
            raise ValueError("method.mode=paper has no squeeze-and-excitation; use space.se_ratios=[0] or mode=default")
        self.tables = []  # (milliseconds by kernel and width, milliseconds of a skipped block) of each position
        for block, row in zip(self.net.blocks, self.rows_ms, strict=True):
            nest = block.nest
            grid = row.new_zeros(len(nest.kernels), len(nest.widths))
            for choice, ms in zip(nest.choices, row, strict=True):
                if choice is not None:
                    grid[choice.kernel, choice.width] = ms
            self.tables.append((grid, float(row[nest.choices.index(None)]) if nest.skippable else 0.0))

    def _make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"weights": self.weight_optimizer([p for p in self.net.thresholds() if p.numel()])}

    def epoch(self, epoch: int) -> dict[str, float]:
        method, seed = self.method, self.task.seed
        seed_global(seed, "search", epoch)
        noise = generator(seed, "dropout", epoch)
        warm = epoch < method.warmup
        steps = self.task.data.train.num_batches(method.batch_size, drop_last=True)
        self.net.train()
        losses: list[Tensor] = []
        self.under_way.take_up(noise, weight=losses)
        first = len(losses)
        lr = self.learning_rate(epoch, max(first - 1, 0), steps)
        for step, (images, labels) in enumerate(self.batches(self.task.data.train, "all", epoch).skip(first), first):
            lr = self.learning_rate(epoch, step, steps)
            scale = dropout(self.net.num_decisions, method.keep_probability, noise).to(self.device) if warm else None
            indicators = self.net.indicators(scale=scale)
            loss = self.cross_entropy(images, labels, indicators, method.label_smoothing)
            if not warm:
                loss = single_path_loss(loss, self.runtime_ms(indicators), method.latency_weight)
            found = backward(self.task.accelerator, loss, self.net.parameters())
            self.optimizers["weights"].step()
            self.optimizers["weights"].zero_grad()
            losses.append(found)
            self.task.on_share((step + 1) / steps)
            self.under_way.keep(noise, weight=losses)
        record = {"lr": lr, "weight_loss": self.mean(losses, "weight", epoch)}
        with torch.no_grad():
            expected = float(self.runtime_ms(self.net.indicators()))
        return record | {
            "expected_latency_ms": expected,
            "theta_entropy": mean_entropy(self.probabilities()),
            "multiplier": 0.0,
        }

    def runtime_ms(self, indicators: list[Indicators]) -> Tensor:
        """R, milliseconds: the fixed part and the published formula for every block."""
        blocks = [
            single_path_runtime_ms(found.kernel, found.width, grid, skip)
            for found, (grid, skip) in zip(indicators, self.tables, strict=True)
        ]
        return self.task.cost.fixed + torch.stack(blocks).sum()


def dropout(count: int, keep_probability: float, noise: torch.Generator) -> Tensor:
    """Factors of the published warm-up: 0 with probability `1 - keep_probability`, else `1 / keep_probability`."""
    return (torch.rand(count, generator=noise) < keep_probability).float() / keep_probability


def draw(odds: Tensor, sizes: Tensor, noise: torch.Generator) -> tuple[int, ...]:
    """A genotype: one candidate per row of `odds` (positions, most candidates), with those probabilities."""
    cumulative = odds.cumsum(1)
    point = torch.rand(len(odds), 1, generator=noise) * cumulative[:, -1:]
    genes = torch.minimum((cumulative <= point).sum(1), sizes - 1)
    return tuple(int(gene) for gene in genes)
