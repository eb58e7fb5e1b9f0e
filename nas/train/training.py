"""Training and evaluating one network, resumable at every epoch bit for bit."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from nas.data import ImageData, Split
from nas.networks import network as networks
from nas.runs import checkpoint as checkpoints
from nas.runs.memory import keep_freed_memory
from nas.runs.resuming import FIX, check_checkpoint
from nas.runs.seeding import derive_seed, seed_global
from nas.runs.stored import Count, NonNegative, record
from nas.terminal.progress import log
from nas.train.accelerator import begin, make_accelerator, place_of, share_buffers
from nas.train.accuracy import evaluate
from nas.train.averaging import estimate_statistics, judged, keep_better
from nas.train.fit import check_fit
from nas.train.mixing import Mixing
from nas.train.optimizer import make_optimizer, make_scheduler
from nas.train.options import DEFAULTS, Begin, Options
from search_spaces.arch import Arch
from search_spaces.blocks.parts.initialisation import zero_init_residuals
from search_spaces.plain_data import identity
from search_spaces.recipe import Recipe

__all__ = ["TRAINING_VERSION", "Options", "build_network", "evaluate", "finished_epochs", "steps_per_epoch", "train"]

FORMAT = "nas.training"
PROGRESS = {"epoch": Count, "seconds": NonNegative, "train_loss": float}  # of a checkpoint
TRAINING_VERSION = 2  # of the identity of whatever reuses a training's result: raised whenever such a result changes
TESTED = ("top1_percent", "top5_percent", "loss")
LOOK_AT_LOSS_EVERY = 100  # steps between two looks at the loss on a GPU: a look makes the host wait for the device


def build_network(arch: Arch, recipe: Recipe, *, seed: int = 0) -> networks.Network | networks.FlatNetwork:
    """The network of `arch` with `recipe`'s drop rates, initialised from `seed` the way `recipe` says."""
    seed_global(seed, "initialisation")
    network = networks.build_network(arch, recipe.drop_rate, recipe.drop_path_rate)
    if recipe.zero_init_residual:
        zero_init_residuals(network)
    return network


def train(
    network: nn.Module,
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int = 0,
    accelerator: Accelerator | None = None,
    options: Options = DEFAULTS,
) -> dict[str, float]:
    """Train `network` in place on `data.train` and return its figures on `data.test`.

    The last epoch's weights are the result. Where the recipe keeps a moving average of the weights, a part of the
    training images is held out (`averaging.judged`); at the end both are measured on it, the average with batch-norm
    statistics of its own, and the better one is the result: higher top-1 accuracy, then lower loss, then the average.

    Returns `top1_percent, top5_percent, loss, train_loss, train_seconds`, the figures of the very weights that
    `network` holds then, in full precision; the seconds are those of training epochs, over all resumed pieces. With a
    moving average also those of `averaging.keep_better`; the last epoch's record has them too. Raises `ValueError`
    where data and network do not fit, where the checkpoint is damaged or of something else, and where the loss is no
    longer finite; the checkpoint of the last good epoch stays.
    """
    accelerator = make_accelerator("cpu") if accelerator is None else accelerator
    check_fit(network, data, recipe, accelerator)
    epochs = recipe.epochs if options.stop_epoch is None else options.stop_epoch
    checkpoint, evaluate_every = options.checkpoint, options.evaluate_every
    if not 1 <= epochs <= recipe.epochs:
        raise ValueError(f"stop_epoch must lie between 1 and the recipe's {recipe.epochs} epochs, got {epochs}")
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    run = _Training(network, data, recipe, seed, accelerator, options)
    progress: dict[str, Any] = {"epoch": 0, "seconds": 0.0, "train_loss": float("nan")}
    if checkpoint is not None:
        progress = run.restore(checkpoint, epochs, options.may_change) or run.begun(options.begin) or progress
    figures: dict[str, float] | None = None
    try:
        for epoch in range(progress["epoch"], epochs):
            began = time.perf_counter()
            loss = run.epoch(epoch, options.on_step)
            seconds = progress["seconds"] + time.perf_counter() - began
            progress = {"epoch": epoch + 1, "seconds": seconds, "train_loss": loss}
            record = {"train_loss": loss, "lr": run.learning_rate, "train_seconds": seconds}
            state = run.state(progress)
            if epoch + 1 == epochs:
                state = copy.deepcopy(state)  # the network becomes the result
                figures = run.finish()
                if recipe.ema_decay:
                    state["result"] = network.state_dict()  # neither the raw weights nor the bare average
                record |= {name: value for name, value in figures.items() if evaluate_every or name not in TESTED}
            elif evaluate_every and (epoch + 1) % evaluate_every == 0:
                record |= evaluate(run.counting(), data.test, accelerator=accelerator)
            if options.on_epoch is not None:
                options.on_epoch(epoch, record)
            if checkpoint is not None and accelerator.is_main_process:
                checkpoints.save(checkpoint, state)
        figures = run.finish() if figures is None else figures
    finally:
        run.close()
    return {**figures, "train_loss": progress["train_loss"], "train_seconds": progress["seconds"]}


def steps_per_epoch(data: ImageData, recipe: Recipe) -> int:
    """Steps of one epoch on the training images that are not held out to judge the recipe's moving average."""
    split = judged(data.train)[0] if recipe.ema_decay else data.train
    return split.num_batches(recipe.batch_size, drop_last=True)


def finished_epochs(checkpoint: Path) -> int:
    """How many epochs of training `checkpoint` holds; 0 where there is none yet."""
    state = checkpoints.latest(checkpoint)
    if state is None:
        return 0
    return int(_progress(state, checkpoint)["epoch"])


def _progress(state: dict[str, Any], checkpoint: Path) -> dict[str, Any]:
    if state.get("format") != FORMAT:
        raise ValueError(f"{checkpoint} is not a training checkpoint")
    return record(state.get("progress"), PROGRESS, f"checkpoint {checkpoint}: the progress")


class _Training:
    """The objects of one training, from the first epoch to the last."""

    def __init__(
        self, network: nn.Module, data: ImageData, recipe: Recipe, seed: int, accelerator: Accelerator, options: Options
    ) -> None:
        self.network, self.data, self.recipe, self.accelerator = network, data, recipe, accelerator
        self.seed, self.phase = seed, options.phase
        self.split: Split = data.train
        self.judges: Split | None = None
        if recipe.ema_decay:
            self.split, self.judges = judged(data.train)
        self.steps = self.split.num_batches(recipe.batch_size, drop_last=True)
        begin(accelerator)
        network.to(accelerator.device).to(memory_format=torch.channels_last)
        self.ema = ModelEmaV3(network, decay=recipe.ema_decay, use_warmup=True) if recipe.ema_decay else None
        self.optimizer = make_optimizer(network, recipe)
        self.scheduler = make_scheduler(self.optimizer, recipe, self.steps)
        self.model, self.stepper = accelerator.prepare(network, self.optimizer)
        self.mixing = Mixing(recipe, data.num_classes) if recipe.mixup or recipe.cutmix else None
        self.parts: dict[str, Any] = {"network": network, "optimizer": self.optimizer}
        if self.ema is not None:
            self.parts["ema"] = self.ema.module
        if accelerator.scaler is not None:
            self.parts["scaler"] = accelerator.scaler
        self.identity = {
            "format": FORMAT,
            "version": TRAINING_VERSION,
            "phase": options.phase,
            "seed": seed,
            "arch": arch.id if (arch := getattr(network, "arch", None)) else None,
            "data": data.fingerprint,
            "recipe": recipe.to_dict(),
            "precision": accelerator.mixed_precision,
            "processes": accelerator.num_processes,
        }
        if options.begin is not None:
            self.identity["begun"] = {"epochs": options.begin.epochs, "data": options.begin.data}

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def epoch(self, epoch: int, on_step: Callable[[int], None] | None) -> float:
        """Train one epoch; the mean loss of its steps."""
        accelerator, recipe = self.accelerator, self.recipe
        seed_global(self.seed, self.phase, "epoch", epoch, accelerator.process_index)
        # timm's Mixup draws from numpy's global state
        np.random.seed(derive_seed(self.seed, self.phase, "mixup", epoch) % 2**32)
        batches = self.split.batches(
            recipe.batch_size,
            seed=derive_seed(self.seed, self.phase),
            epoch=epoch,
            augment=recipe.augment,
            drop_last=True,
            place=place_of(accelerator),
        )
        look_every = 1 if accelerator.device.type == "cpu" else LOOK_AT_LOSS_EVERY
        losses = torch.zeros(self.steps, device=accelerator.device)
        looked = 0
        self.model.train()
        for step, (images, labels) in enumerate(batches):
            self.scheduler.step_update(epoch * self.steps + step)
            loss = self._loss(images.contiguous(memory_format=torch.channels_last), labels)
            accelerator.backward(loss)
            if recipe.clip_grad:
                accelerator.clip_grad_norm_(self.model.parameters(), recipe.clip_grad)
            self.stepper.step()
            self.stepper.zero_grad()
            if self.ema is not None:
                self.ema.update(self.network, step=epoch * self.steps + step + 1)
            losses[step] = loss.detach()
            if step + 1 - looked == look_every or step + 1 == self.steps:
                self._stop_unless_finite(losses, looked, step + 1, epoch)
                if on_step is not None:
                    on_step(step + 1 - looked)
                looked = step + 1
        share_buffers(self.network, accelerator)
        return float(accelerator.reduce(losses.mean(), reduction="mean"))

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy with the recipe's label smoothing, mixup and cutmix."""
        if self.mixing is None:
            return F.cross_entropy(self.model(images), labels, label_smoothing=self.recipe.label_smoothing)
        images, targets = self.mixing(images, labels)
        return F.cross_entropy(self.model(images), targets)

    def _stop_unless_finite(self, losses: Tensor, start: int, stop: int, epoch: int) -> None:
        """Raise `ValueError` at the first of steps `start..stop` whose loss is NaN or infinite."""
        wrong = (~torch.isfinite(losses[start:stop])).nonzero()
        if len(wrong):
            step = start + int(wrong[0])
            raise ValueError(
                f"the loss is {float(losses[step])} in epoch {epoch + 1}, step {step + 1}: training diverged; lower "
                f"the recipe's lr ({self.recipe.lr}) or clip gradients (clip_grad); the checkpoint of the last good "
                "epoch is kept"
            )

    def state(self, progress: dict[str, Any]) -> dict[str, Any]:
        """What a checkpoint holds."""
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        return {"format": FORMAT, "identity": self.identity, "progress": progress, **parts}

    def restore(self, path: Path, epochs: int, may_change: Collection[str]) -> dict[str, Any] | None:
        """Load `path`; returns its progress: finished epochs, their seconds, the last training loss; None: no file."""
        state = checkpoints.latest(path)
        if state is None:
            return None
        progress = _progress(state, path)
        done = int(progress["epoch"])
        if self.recipe.schedule in ("cosine", "linear"):  # what such a schedule did depends on its length
            may_change = [key for key in may_change if key != "recipe.epochs"]
        known = record(state.get("identity"), {}, f"checkpoint {path}: the identity")
        changes = check_checkpoint(path, known, self.identity, may_change, done >= epochs)
        if changes and self.accelerator.is_main_process:
            log(f"training goes on after {done} epochs with a change: {'; '.join(changes)}")
        self._load(state, path)
        return progress

    def begun(self, begin: Begin | None) -> dict[str, Any] | None:
        """Load what `begin` names; returns its progress; None for None."""
        if begin is None:
            return None
        state = checkpoints.load(begin.path)
        progress, what = _progress(state, begin.path), f"checkpoint {begin.path}"
        known = {**record(state.get("identity"), {}, f"{what}: the identity"), "epochs": progress["epoch"]}
        asked = {key: value for key, value in self.identity.items() if key != "begun"}
        identity.check(what, known, {**asked, "data": begin.data, "epochs": begin.epochs}, FIX)
        self._load(state, begin.path)
        return progress

    def _load(self, state: dict[str, Any], path: Path) -> None:
        try:
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:  # of other kinds
            reason = str(error).splitlines()[0]
            raise ValueError(f"checkpoint {path} does not fit this network and recipe: {reason}") from None

    def counting(self) -> nn.Module:
        """The network to look at between epochs; of a moving average a copy, with statistics of its own."""
        if self.ema is None:
            return self.network
        averaged = copy.deepcopy(self.ema.module)
        batch_size = self.recipe.batch_size // self.accelerator.num_processes
        estimate_statistics(averaged, self.split, batch_size, derive_seed(self.seed, self.phase))
        share_buffers(averaged, self.accelerator)  # equal already, but for a device's rounding
        return averaged

    def finish(self) -> dict[str, float]:
        """Leave the plain network, holding the weights that count, and return their figures in full precision."""
        self.close()
        if self.judges is None:
            return self._figures(self.data.test)
        return keep_better(self.network, self.counting().state_dict(), self._figures, self.data.test, self.judges)

    def _figures(self, split: Split) -> dict[str, float]:
        return evaluate(self.network, split, accelerator=self.accelerator, autocast=False)

    def close(self) -> None:
        """Leave the plain network."""
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.accelerator.free_memory()
        self.network.to(memory_format=torch.contiguous_format)
