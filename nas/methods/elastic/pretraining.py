"""Training an elastic supernet, resumable at every epoch bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.methods.base import Task
from nas.methods.elastic.network import ElasticNetwork
from nas.methods.elastic.sampling import ArchSampler
from nas.methods.elastic.settings import Pretraining
from nas.methods.elastic.stored import FORMAT, load_part, progress_of
from nas.methods.elastic.watch import CURE, Watch
from nas.methods.loops.epochs import batches
from nas.runs import checkpoint as checkpoints
from nas.runs.keeping import stopping
from nas.runs.keeping.collapse import Collapsed
from nas.runs.keeping.keeper import Keeper
from nas.runs.keeping.under_way import UnderWay
from nas.runs.memory import keep_freed_memory
from nas.runs.resuming import FIXES, check_checkpoint
from nas.runs.seeding import derive_seed, seed_global
from nas.runs.stored import record
from nas.terminal.progress import log
from nas.train.accelerator import agreement, begin, several, share_buffers
from nas.train.mixing import Mixing
from nas.train.optimizer import make_optimizer, make_scheduler
from nas.train.several.batch_norm import statistics
from nas.train.several.gradients import backward, mean_of
from nas.train.training import TRAINING_VERSION
from search_spaces.arch import Arch, own_code
from search_spaces.plain_data.identity import Identity, digest
from search_spaces.pricing.additive import AdditiveCost

PART = "pretraining"  # name of its streams of random numbers


class Trained(NamedTuple):
    """The supernet, the seconds its training took over all resumed pieces, and what it depends on."""

    network: ElasticNetwork
    seconds: float
    identity: Identity


def pretrain(settings: Pretraining, task: Task) -> Trained:
    """Train the supernet of `task.space` on `task.data.train`, or go on from `task.checkpoint`.

    `task.cost` is what archs are drawn uniformly in. Raises `ValueError` where the space has no common envelope, where
    the loss is not finite or the supernet collapses (the checkpoint of the last good epoch stays), and for a checkpoint
    of something else.
    """
    if task.accelerator.device.type == "cpu":
        keep_freed_memory()
    training = _Pretraining(settings, task)
    training.restore()
    watch, epochs = training.watch, settings.recipe.epochs
    while (epoch := int(training.progress["epoch"])) < epochs:
        with stopping.at_next_step():
            try:
                figures = training.epoch(epoch)
                note = watch.check(epoch, figures, epoch + 1 == epochs)
            except Collapsed as error:
                training.roll_back(error)
                continue
            if note:
                log(f"NOTE: {note}")
            training.finished()
            task.on_epoch(epoch, {**figures, "lr": training.learning_rate})
            if task.accelerator.is_main_process:
                checkpoints.save(task.checkpoint, training.state())
            training.keeper.finished()
    training.close()
    return Trained(training.network, training.progress["seconds"], training.identity)


def cost_digest(cost: AdditiveCost) -> str:
    """A digest of every figure of `cost`."""
    return digest([float(cost.fixed).hex(), [[float(x).hex() for x in table.reshape(-1)] for table in cost.tables]])


class _Pretraining:
    """The objects of one training, from the first epoch to the last."""

    def __init__(self, settings: Pretraining, task: Task) -> None:
        self.settings, self.task, recipe = settings, task, settings.recipe
        self.sampler = ArchSampler(
            task.space, task.cost, settings.sampling, settings.least, settings.most, derive_seed(task.seed, PART)
        )
        seed_global(task.seed, PART, "initialisation")
        self.network = ElasticNetwork(task.space, recipe.zero_init_residual)
        self.steps = task.data.train.num_batches(recipe.batch_size, drop_last=True)
        begin(task.accelerator)
        self.network.to(task.accelerator.device).to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(self.network, recipe)
        self.scheduler = make_scheduler(self.optimizer, recipe, self.steps)
        self.stepper = task.accelerator.prepare(self.optimizer)
        self.mixing = Mixing(recipe, task.data.num_classes) if recipe.mixup or recipe.cutmix else None
        self.parts: dict[str, Any] = {"network": self.network, "optimizer": self.optimizer}
        if task.accelerator.scaler is not None:
            self.parts["scaler"] = task.accelerator.scaler
        self.identity: Identity = {
            "format": FORMAT,
            "version": TRAINING_VERSION,
            "networks": task.space.fingerprint,
            **own_code(task.space.table_entries()),
            "data": task.data.train.fingerprint(),
            "recipe": recipe.to_dict(),
            "pretraining": settings.to_dict(),
            "costs": cost_digest(task.cost) if settings.sampling == "latency" else None,
            **self.sampler.own_ends,
            "seed": task.seed,
            "precision": task.accelerator.mixed_precision,
            **several(task.accelerator),
        }
        self.progress: dict[str, Any] = {"epoch": 0, "seconds": 0.0}
        self.watch = Watch(task.data.num_classes, task.keeping.on_collapse)
        agree = agreement(task.accelerator)
        self.keeper = Keeper(task.checkpoint, task.keeping.minutes, task.accelerator.is_main_process, agree)
        self.under_way = UnderWay(self.keeper, self.state, task.accelerator.device)
        self._good: dict[str, Any] | None = None  # the last good epoch, where it may be gone back to

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch: the loss; mean cross-entropy (nats) and accuracy (percent) of both ends on the labels."""
        task, recipe = self.task, self.settings.recipe
        seed_global(task.seed, PART, "epoch", epoch)
        np.random.seed(derive_seed(task.seed, PART, "mixup", epoch) % 2**32)  # timm's Mixup draws from it
        self.network.train()
        found: list[Tensor] = []
        self.under_way.take_up(figures=found)
        left = batches(task, task.data.train, PART, epoch, recipe.batch_size, recipe.augment).skip(len(found))
        for step, (images, labels) in enumerate(left, len(found)):
            self.scheduler.step_update(epoch * self.steps + step)
            if self.watch.roll_backs:
                for group in self.optimizer.param_groups:
                    group["lr"] *= self.watch.factor
            found.append(self._step(images, labels, epoch, step))
            if self.settings.updates == "step":
                self._update()
            task.on_share((step + 1) / self.steps)
            self.under_way.keep(figures=found)
        share_buffers(self.network, task.accelerator)
        values = torch.stack(found).cpu()
        wrong = (~torch.isfinite(values).all(1)).nonzero()
        if len(wrong):
            raise Collapsed(f"a loss is not finite in epoch {epoch + 1}, step {int(wrong[0]) + 1}: {CURE}")
        names = ("loss", "largest_loss", "smallest_loss", "largest_top1_percent", "smallest_top1_percent")
        means = dict(zip(names, values.mean(0).tolist(), strict=True))
        return {**means, "spread_percent": means["largest_top1_percent"] - means["smallest_top1_percent"]}

    def _update(self) -> None:
        """Change the weights by their gradients, and drop these."""
        if self.settings.recipe.clip_grad:
            self.task.accelerator.clip_grad_norm_(self.network.parameters(), self.settings.recipe.clip_grad)
        self.stepper.step()
        self.stepper.zero_grad()

    def _step(self, images: Tensor, labels: Tensor, epoch: int, step: int) -> Tensor:
        """The gradients of a step, or the updates of its archs; its five figures, the mean of their losses first."""
        targets: Tensor = labels
        if self.mixing is not None:
            images, targets = self.mixing(images, labels)
            images = images.contiguous(memory_format=torch.channels_last)
        of = 1 if self.settings.pick == "any" else self.settings.of
        groups = self.sampler.draw(epoch, step, self.settings.random, of)
        archs = [[self.sampler.largest], *groups, [self.sampler.smallest]]
        teacher: Tensor | None = None
        losses, ends = [], []
        for group in archs:
            arch = group[0] if len(group) == 1 else self._picked(group, images, targets)
            with self.task.accelerator.autocast(), statistics(self.task.accelerator):
                logits = self.network(images, arch)
            logits = logits.float()
            loss = self._loss(logits, targets, teacher)
            at_once = self.settings.updates == "arch"
            weights, pieces = self.network.parameters(), 1 if at_once else len(archs)
            losses.append(backward(self.task.accelerator, loss, weights, pieces))
            if at_once:
                self._update()
            if teacher is None:
                teacher = logits.detach().softmax(1)
            if group is archs[0] or group is archs[-1]:
                plain = logits.detach()
                ends.append((F.cross_entropy(plain, labels), 100 * (plain.argmax(1) == labels).float().mean()))
        (largest, most), (smallest, least) = ends
        figures = torch.stack([torch.stack(losses).mean(), largest, smallest, most, least])
        return mean_of(self.task.accelerator, figures)

    def _loss(self, logits: Tensor, targets: Tensor, teacher: Tensor | None) -> Tensor:
        """Cross-entropy with the labels, and for all but the largest with its probabilities."""
        share = 0.0 if teacher is None else self.settings.distillation
        loss = logits.new_zeros(())
        if share < 1:
            smoothing = 0.0 if targets.ndim > 1 else self.settings.recipe.label_smoothing
            loss = loss + (1 - share) * F.cross_entropy(logits, targets, label_smoothing=smoothing)
        if teacher is not None and share:
            loss = loss + share * F.cross_entropy(logits, teacher)
        return loss

    @torch.no_grad()
    def _picked(self, group: Sequence[Arch], images: Tensor, targets: Tensor) -> Arch:
        """The arch of `group` that is worth training, by its loss on these images."""
        losses = []
        for arch in group:
            with self.task.accelerator.autocast(), statistics(self.task.accelerator):
                losses.append(F.cross_entropy(self.network(images, arch).float(), targets))
        order = mean_of(self.task.accelerator, torch.stack(losses))
        return group[int(order.argmin() if self.settings.pick == "best" else order.argmax())]

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        return {"format": FORMAT, "identity": dict(self.identity), "progress": self.progress, **parts}

    def finished(self) -> None:
        """Count the present epoch, which the watch has seen."""
        epoch, seconds = self.progress["epoch"] + 1, self.progress["seconds"] + self.under_way.seconds
        self.progress = {"epoch": epoch, "seconds": seconds, "best": self.watch.best}
        if self.watch.roll_backs:
            self.progress["roll_backs"] = self.watch.roll_backs
        self._is_good()

    def _is_good(self) -> None:
        if self.watch.policy == "roll_back":
            self._good = copy.deepcopy(self.state())

    def roll_back(self, error: Collapsed) -> None:
        """Go back to the last good epoch. Raises `error` where that is not to be done."""
        self.keeper.finished()
        self.watch.roll_back(error)
        assert self._good is not None
        times = self.watch.roll_backs
        self._use(copy.deepcopy(self._good), self.task.checkpoint)  # optimisers change what they load
        self.watch.roll_backs = self.progress["roll_backs"] = times

    def restore(self) -> None:
        """Go on from the task's checkpoint, and inside of the next epoch, where there is something of them."""
        path = self.task.checkpoint
        if (state := checkpoints.latest(path)) is not None:
            self._take(state, path)
        self._is_good()
        part = self.keeper.unfinished()
        if part is not None and progress_of(part, path)["epoch"] == self.progress["epoch"]:
            self._take(part, path)
            self.under_way.found(part["within"])

    def _take(self, state: dict[str, Any], path: Path) -> None:
        progress = progress_of(state, path)
        known = record(state.get("identity"), {}, f"checkpoint {path}: the identity")
        is_finished = progress["epoch"] >= self.settings.recipe.epochs
        changes = check_checkpoint(path, known, self.identity, FIXES, is_finished)
        if changes and "within" not in state:
            log(f"pretraining goes on after {progress['epoch']} epochs with a change: {'; '.join(changes)}")
        self._use(state, path)

    def _use(self, state: dict[str, Any], path: Path) -> None:
        for name, part in self.parts.items():
            load_part(part, state, name, path)
        self.progress = progress_of(state, path)
        self.watch.roll_backs = self.progress["roll_backs"] or 0
        if self.progress["best"] is not None:
            self.watch.best = self.progress["best"]

    def close(self) -> None:
        """Leave the plain supernet."""
        self.task.accelerator.free_memory()
        self.network.to(memory_format=torch.contiguous_format)
