"""One epoch of a training, which can be left behind any step and taken up again, on the CPU bit for bit."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.runs.keeping import stopping
from nas.runs.keeping.randomness import random_state, set_random_state
from nas.runs.seeding import derive_seed, seed_global
from nas.train.accelerator import agreed, gathered, place_of, share
from nas.train.loop.state import TrainingState
from nas.train.several.batch_norm import statistics

LOOK_AT_LOSS_EVERY = 100  # steps between two looks at the loss on a GPU: a look makes the host wait for the device


class Done(NamedTuple):
    """The mean `loss` of an epoch's steps, its `seconds` over all pieces, and where it stands behind them.

    `top1_percent`: accuracy on its images as they were seen, by the weights of each step; of mixed images the larger
    part counts. NaN where a piece of it was trained by a release that did not count.
    """

    loss: float
    top1_percent: float
    seconds: float
    within: dict[str, Any]


def run_epoch(training: TrainingState, epoch: int, on_step: Callable[[int], None] | None) -> Done:
    """Train one epoch, or what is left of it.

    Raises `Collapsed` where a loss is not finite, and `Terminated` behind the step in which the process is asked to
    end, when the state is kept.
    """
    with stopping.at_next_step():
        return _Epoch(training, epoch).run(on_step)


class _Epoch:
    def __init__(self, training: TrainingState, epoch: int) -> None:
        self.training, self.number, self.accelerator = training, epoch, training.accelerator
        self.began = time.perf_counter()
        self.losses = torch.zeros(training.steps, device=self.accelerator.device)
        self.right = torch.zeros_like(self.losses)  # share of a step's images that are answered rightly
        self.first = self.looked = 0
        seed_global(training.seed, training.phase, "epoch", epoch, self.accelerator.process_index)
        # timm's Mixup draws from numpy's global state
        np.random.seed(derive_seed(training.seed, training.phase, "mixup", epoch) % 2**32)
        self.batches = training.split.batches(
            training.recipe.batch_size,
            seed=derive_seed(training.seed, training.phase),
            epoch=epoch,
            augment=training.recipe.augment,
            drop_last=True,
            place=place_of(self.accelerator),
        )
        if training.within is not None:
            self._take_up(training.within)
            training.within = None

    def _take_up(self, within: dict[str, Any]) -> None:
        """Stand where `_within` was asked."""
        self.first = self.looked = int(within["step"])
        self.began -= float(within["seconds"])
        self.losses[: self.first] = within["losses"]
        self.right[: self.first] = within.get("right", torch.nan)
        self._take_own(within["processes"])
        self.batches.skip(self.first)

    def _take_own(self, kept: list[dict[str, Any]]) -> None:
        """Take what was this process's own; of another number of processes, draw anew and take the mean of buffers."""
        training, here = self.training, self.accelerator
        alike = len(kept) == here.num_processes
        own = kept[here.process_index if alike else 0]
        set_random_state(own["random"])  # numpy's streams are equal in all processes
        if not alike:
            stream = (training.phase, "epoch", self.number, here.process_index, "from", self.first)
            torch.manual_seed(derive_seed(training.seed, *stream))
        several = [own["buffers"]] if alike else [each["buffers"] for each in kept]
        for buffer, *values in zip(training.buffers, *several, strict=False):
            buffer.copy_(torch.stack(values).mean(0) if buffer.is_floating_point() else values[0])

    def _within(self, step: int) -> dict[str, Any]:
        """What is done of the epoch after `step` steps; of several processes, what is each one's own."""
        several = self.accelerator.num_processes > 1
        buffers = [buffer.detach().cpu() for buffer in self.training.buffers] if several else []
        return {
            "step": step,
            "seconds": time.perf_counter() - self.began,
            "losses": self.losses[:step].cpu(),
            "right": self.right[:step].cpu(),
            "processes": gathered(self.accelerator, {"random": random_state(), "buffers": buffers}),
        }

    def run(self, on_step: Callable[[int], None] | None) -> Done:
        training, recipe, steps = self.training, self.training.recipe, self.training.steps
        alone = self.accelerator.num_processes == 1
        look_every = 1 if self.accelerator.device.type == "cpu" else LOOK_AT_LOSS_EVERY
        if on_step is not None and self.first:
            on_step(self.first)
        training.model.train()
        training.frozen.rest()
        for step, (images, labels) in enumerate(self.batches, self.first):
            training.scheduler.step_update(self.number * steps + step)
            if training.watch.roll_backs:
                for group in training.optimizer.param_groups:
                    group["lr"] *= training.watch.factor
            images = images.contiguous(memory_format=torch.channels_last)
            self.losses[step], self.right[step] = self._backward(images, labels)
            if recipe.clip_grad:
                self.accelerator.clip_grad_norm_(training.model.parameters(), recipe.clip_grad)
            training.stepper.step()
            training.stepper.zero_grad()
            if training.ema is not None:
                training.ema.update(training.network, step=self.number * steps + step + 1)
            due = training.keeper.due() if alone else 0
            if due or step + 1 - self.looked == look_every or step + 1 == steps:
                due = due if alone else agreed(self.accelerator, training.keeper.due())
                self._stop_unless_finite(step + 1)
                if on_step is not None:
                    on_step(step + 1 - self.looked)
                self.looked = step + 1
                if due:
                    self._stop_unless_sound(step)
                    training.keeper.keep(training.state(self._within(step + 1)), due)
        self._stop_unless_sound(steps - 1)
        share(training.buffers, self.accelerator)
        means = torch.stack([self.losses.mean(), self.right.mean()])
        loss, right = self.accelerator.reduce(means, reduction="mean").tolist()
        within = self._within(steps)
        return Done(loss, 100 * right, within["seconds"], within)

    def _backward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Add the gradients of this process's part of a batch, piece by piece; its loss and the share answered rightly.

        Images go to pieces as to processes: one process's four pieces are those of two processes that take two each.
        """
        training, count = self.training, self.training.accumulate
        if training.mixing is not None:
            images, labels = training.mixing(images, labels)
        found, right = [], []
        for number in range(count):
            some = images[number::count].contiguous(memory_format=torch.channels_last)
            waits = number + 1 < count  # the processes' gradients are averaged once, with the last piece
            with (
                self.accelerator.no_sync(training.model) if waits else nullcontext(),
                statistics(self.accelerator),
                nullcontext() if training.rounding is None else training.rounding.inside(),
            ):
                loss, share_right = self._loss(some, labels[number::count])
                self.accelerator.backward(loss / count if count > 1 else loss)
            found.append(loss.detach())
            right.append(share_right)
        return (found[0], right[0]) if count == 1 else (torch.stack(found).mean(), torch.stack(right).mean())

    def _loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy, and what a teacher adds; mixed labels are smoothed already, others as the recipe says.

        And the share of `images` that are answered rightly.
        """
        training = self.training
        smoothing = 0.0 if labels.ndim > 1 else training.recipe.label_smoothing
        logits = training.model(images)
        hard = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        classes = labels if labels.ndim == 1 else labels.argmax(1)
        right = (logits.detach().argmax(1) == classes).float().mean()
        if training.soft_labels is None:
            return hard, right
        with self.accelerator.autocast():
            answers = training.soft_labels.answers(images)
        return training.soft_labels.loss(hard, logits, answers), right

    def _stop_unless_finite(self, stop: int) -> None:
        """Raise `Collapsed` at the first step since the last look, before `stop`, whose loss is NaN or infinite."""
        wrong = (~torch.isfinite(self.losses[self.looked : stop])).nonzero()
        if len(wrong):
            step = self.looked + int(wrong[0])
            raise self.training.diverged(self.number, step, f"the loss is {float(self.losses[step])} in")

    def _stop_unless_sound(self, step: int) -> None:
        """Raise `Collapsed` where `step` left weights that are NaN or infinite: such a state is never kept."""
        if not all(bool(torch.isfinite(weight).all()) for weight in self.training.network.parameters()):
            raise self.training.diverged(self.number, step, "weights are no longer finite behind")
