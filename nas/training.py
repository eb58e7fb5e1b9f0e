"""Training and evaluating one network, resumable at every epoch bit for bit."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from timm.data import Mixup
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from nas import checkpoint as checkpoints
from nas import network as networks
from nas.data import ImageData, Split
from nas.engine import make_accelerator
from nas.memory import keep_freed_memory
from nas.optim import make_optimizer, make_scheduler
from nas.seeding import derive_seed, seed_global
from search_spaces.arch import Arch
from search_spaces.modules import zero_init_residuals
from search_spaces.recipe import Recipe

FORMAT = "nas.training"
TRAINING_VERSION = (
    2  # part of the identity of whatever reuses a training's result: raised whenever such a result changes
)
EVALUATION_BATCH = 512
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
    checkpoint: Path | None = None,
    resume: bool = True,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
    on_step: Callable[[int], None] | None = None,
    evaluate_every: int = 0,
    stop_epoch: int | None = None,
    phase: str = "train",
) -> dict[str, float]:
    """Train `network` in place on `data.train` and return its figures on `data.test`.

    At every epoch's end the whole state goes to `checkpoint`; where that file exists (and `resume`), training goes on
    from it, and on the CPU ends bit for bit where an uninterrupted run ends. `on_epoch(epoch, record)` gets each
    finished epoch (from 0) just before: whoever keeps records forgets, on resuming, those that the checkpoint has not
    seen, and misses none. `on_step(steps)` gets each piece of steps done. The test split is looked at every
    `evaluate_every` epochs (0: only at the end), for the record only: the last epoch's weights are the result, or their
    moving average where the recipe keeps one. `stop_epoch`: the training ends after so many epochs, at the learning
    rate the whole recipe has there: bit for bit where the whole training stood (None: the whole recipe).

    Returns `top1_percent, top5_percent, loss, train_loss, train_seconds`; the seconds are those of training epochs,
    over all resumed pieces. Raises `ValueError` where data and network do not fit, where the checkpoint is damaged or
    of another run, and where the loss is no longer finite; the checkpoint of the last good epoch stays.
    """
    accelerator = make_accelerator("cpu") if accelerator is None else accelerator
    _check_fit(network, data, recipe, accelerator)
    epochs = recipe.epochs if stop_epoch is None else stop_epoch
    if not 1 <= epochs <= recipe.epochs:
        raise ValueError(f"stop_epoch must lie between 1 and the recipe's {recipe.epochs} epochs, got {epochs}")
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    run = _Training(network, data, recipe, seed, accelerator, phase)
    progress: dict[str, Any] = {"epoch": 0, "seconds": 0.0, "train_loss": float("nan")}
    if checkpoint is not None and resume:
        progress = run.restore(Path(checkpoint)) or progress
    try:
        for epoch in range(progress["epoch"], epochs):
            began = time.perf_counter()
            loss = run.epoch(epoch, on_step)
            seconds = progress["seconds"] + time.perf_counter() - began
            progress = {"epoch": epoch + 1, "seconds": seconds, "train_loss": loss}
            record = {"train_loss": loss, "lr": run.learning_rate, "train_seconds": seconds}
            if evaluate_every and ((epoch + 1) % evaluate_every == 0 or epoch + 1 == epochs):
                record |= evaluate(run.result, data.test, accelerator=accelerator)
            if on_epoch is not None:
                on_epoch(epoch, record)
            if checkpoint is not None:
                run.save(Path(checkpoint), progress)
    finally:
        run.close()
    figures = evaluate(network, data.test, accelerator=accelerator)
    return {**figures, "train_loss": progress["train_loss"], "train_seconds": progress["seconds"]}


def finished_epochs(checkpoint: Path) -> int:
    """How many epochs of training `checkpoint` holds; 0 where there is none yet."""
    state = checkpoints.latest(checkpoint)
    if state is None:
        return 0
    if state.get("format") != FORMAT:
        raise ValueError(f"{checkpoint} is not a training checkpoint")
    return int(state["progress"]["epoch"])


@torch.no_grad()
def evaluate(
    network: nn.Module,
    split: Split,
    *,
    batch_size: int = EVALUATION_BATCH,
    device: torch.device | str | None = None,
    accelerator: Accelerator | None = None,
) -> dict[str, float]:
    """`top1_percent`, `top5_percent` and mean cross-entropy `loss` of `network` on `split`, in eval mode.

    Runs where the network's parameters are, unless `device` moves it; with `accelerator`, its processes share the
    images and its precision is used. With fewer than five classes top-5 counts all of them.
    """
    if accelerator is not None:
        device = accelerator.device
    if device is None:
        device = next(network.parameters()).device
    network.to(device)
    training = network.training
    network.eval()
    rank, processes = (0, 1) if accelerator is None else (accelerator.process_index, accelerator.num_processes)
    sums = torch.zeros(3, dtype=torch.float64, device=device)  # correct in the first, in the first five, loss
    for images, labels in split.batches(batch_size, shuffle=False, device=device, rank=rank, processes=processes):
        if not len(images):  # the last batch has fewer images than there are processes
            continue
        with nullcontext() if accelerator is None else accelerator.autocast():
            logits = network(images).float()
        hits = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
        loss = F.cross_entropy(logits, labels, reduction="sum")
        sums += torch.stack([hits[:, 0].sum(), hits.sum(), loss]).double()
    network.train(training)
    if accelerator is not None:
        sums = accelerator.reduce(sums)
    top1, top5, mean = (float(value) / len(split) for value in sums)
    return {"top1_percent": 100 * top1, "top5_percent": 100 * top5, "loss": mean}


class _Training:
    """The objects of one training, from the first epoch to the last."""

    def __init__(
        self, network: nn.Module, data: ImageData, recipe: Recipe, seed: int, accelerator: Accelerator, phase: str
    ) -> None:
        self.network, self.data, self.recipe, self.accelerator = network, data, recipe, accelerator
        self.seed, self.phase = seed, phase
        self.steps = data.train.num_batches(recipe.batch_size, drop_last=True)
        network.to(accelerator.device).to(memory_format=torch.channels_last)
        self.ema = ModelEmaV3(network, decay=recipe.ema_decay, use_warmup=True) if recipe.ema_decay else None
        self.optimizer = make_optimizer(network, recipe)
        self.scheduler = make_scheduler(self.optimizer, recipe, self.steps)
        self.model, self.stepper = accelerator.prepare(network, self.optimizer)
        self.mixup = None
        if recipe.mixup or recipe.cutmix:
            smoothing = recipe.label_smoothing
            self.mixup = Mixup(recipe.mixup, recipe.cutmix, label_smoothing=smoothing, num_classes=data.num_classes)
        self.parts: dict[str, Any] = {"network": network, "optimizer": self.optimizer}
        if self.ema is not None:
            self.parts["ema"] = self.ema.module
        if accelerator.scaler is not None:
            self.parts["scaler"] = accelerator.scaler
        self.identity = {
            "phase": phase,
            "seed": seed,
            "data": data.name,
            "images": len(data.train),
            "recipe": recipe.to_dict(),
        }

    @property
    def result(self) -> nn.Module:
        """The network that counts: the moving average where there is one."""
        return self.network if self.ema is None else self.ema.module

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def epoch(self, epoch: int, on_step: Callable[[int], None] | None) -> float:
        """Train one epoch; the mean loss of its steps."""
        accelerator, recipe = self.accelerator, self.recipe
        seed_global(self.seed, self.phase, "epoch", epoch, accelerator.process_index)
        # timm's Mixup draws from numpy's global state
        np.random.seed(derive_seed(self.seed, self.phase, "mixup", epoch) % 2**32)
        batches = self.data.train.batches(
            recipe.batch_size,
            seed=derive_seed(self.seed, self.phase),
            epoch=epoch,
            augment=recipe.augment,
            drop_last=True,
            device=accelerator.device,
            rank=accelerator.process_index,
            processes=accelerator.num_processes,
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
        return float(accelerator.reduce(losses.mean(), reduction="mean"))

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy with the recipe's label smoothing, mixup and cutmix."""
        if self.mixup is None or len(images) % 2:
            return F.cross_entropy(self.model(images), labels, label_smoothing=self.recipe.label_smoothing)
        images, mixed = self.mixup(images, labels)
        return F.cross_entropy(self.model(images), mixed)

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

    def save(self, path: Path, progress: dict[str, Any]) -> None:
        """Write the whole state to `path`, by the main process."""
        if self.accelerator.is_main_process:
            state = {name: part.state_dict() for name, part in self.parts.items()}
            checkpoints.save(path, {"format": FORMAT, "identity": self.identity, "progress": progress, **state})

    def restore(self, path: Path) -> dict[str, Any] | None:
        """Load `path`; returns its progress: finished epochs, their seconds, the last training loss; None: no file."""
        state = checkpoints.latest(path)
        if state is None:
            return None
        if state.get("format") != FORMAT:
            raise ValueError(f"{path} is not a training checkpoint")
        for key, value in self.identity.items():
            if state["identity"].get(key) != value:
                raise ValueError(
                    f"checkpoint {path} is of another run: its {key} is {state['identity'].get(key)!r}, asked is "
                    f"{value!r}; give the same configuration to resume, or another run_dir to start afresh"
                )
        try:
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"checkpoint {path} does not fit this network and recipe: {reason}") from None
        return state["progress"]

    def close(self) -> None:
        """Leave the plain network, holding the weights that count."""
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.accelerator.free_memory()
        if self.ema is not None:
            self.network.load_state_dict(self.ema.module.state_dict())
        self.network.to(memory_format=torch.contiguous_format)


def _check_fit(network: nn.Module, data: ImageData, recipe: Recipe, accelerator: Accelerator) -> None:
    if recipe.batch_size % accelerator.num_processes:
        raise ValueError(
            f"batch_size {recipe.batch_size} cannot be shared by {accelerator.num_processes} processes; give a multiple"
        )
    arch = getattr(network, "arch", None)
    if arch is None:
        return
    if arch.num_classes != data.num_classes:
        raise ValueError(
            f"the network tells {arch.num_classes} classes apart, {data.name} has {data.num_classes}; build it from "
            f"arch.with_classes({data.num_classes})"
        )
    if arch.in_channels != data.in_channels:
        raise ValueError(
            f"the network takes images of {arch.in_channels} channels, those of {data.name} have {data.in_channels}"
        )
