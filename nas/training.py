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
from nas.data import ImageData, Split
from nas.engine import make_accelerator
from nas.network import Network
from nas.optim import make_optimizer, make_scheduler
from nas.seeding import derive_seed, seed_global
from search_spaces.arch import Arch
from search_spaces.modules import zero_init_residuals
from search_spaces.recipe import Recipe

FORMAT = "nas.training"
EVALUATION_BATCH = 512
LOOK_AT_LOSS_EVERY = 100  # steps between two looks at the loss: a look makes the host wait for the device


def build_network(arch: Arch, recipe: Recipe, *, seed: int = 0) -> Network:
    """The network of `arch` with `recipe`'s drop rates, initialised from `seed` the way `recipe` says."""
    seed_global(seed, "initialisation")
    network = Network(arch, drop_rate=recipe.drop_rate, drop_path_rate=recipe.drop_path_rate)
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
    phase: str = "train",
) -> dict[str, float]:
    """Train `network` in place on `data.train` and return its figures on `data.test`.

    At every epoch's end the whole state goes to `checkpoint`; where that file exists (and `resume`), training goes on
    from it, and on the CPU ends bit for bit where an uninterrupted run ends. `on_epoch(epoch, record)` gets each
    finished epoch (from 0), `on_step(steps)` each piece of `recipe.epochs * steps per epoch` steps that is done, the
    resumed ones first. The test split is looked at every `evaluate_every` epochs (0: only at the end), for the record
    only: the last epoch's weights are the result, the moving average where the recipe keeps one.

    Returns `top1_percent, top5_percent, loss, train_loss, train_seconds`; the seconds are those of training epochs,
    over all resumed pieces. Raises `ValueError` where data and network do not fit, where the checkpoint is damaged or
    of another run, and where the loss is no longer finite; the last good checkpoint stays.
    """
    accelerator = make_accelerator("cpu") if accelerator is None else accelerator
    _check_fit(network, data)
    steps = data.train.num_batches(recipe.batch_size, drop_last=True)
    network.to(accelerator.device)
    ema = ModelEmaV3(network, decay=recipe.ema_decay, use_warmup=True) if recipe.ema_decay else None
    optimizer = make_optimizer(network, recipe)
    scheduler = make_scheduler(optimizer, recipe, steps)
    model, prepared = accelerator.prepare(network, optimizer)
    parts: dict[str, Any] = {"network": network, "optimizer": optimizer}
    if ema is not None:
        parts["ema"] = ema.module
    if accelerator.scaler is not None:
        parts["scaler"] = accelerator.scaler
    identity = {"phase": phase, "seed": seed, "data": data.name, "images": len(data.train), "recipe": recipe.to_dict()}
    first, seconds, train_loss = 0, 0.0, float("nan")
    if checkpoint is not None and resume and Path(checkpoint).exists():
        first, seconds, train_loss = _restore(Path(checkpoint), parts, identity)
    if on_step is not None and first:
        on_step(first * steps)
    target = _Target(recipe, data.num_classes)
    for epoch in range(first, recipe.epochs):
        began = time.perf_counter()
        seed_global(seed, phase, "epoch", epoch, accelerator.process_index)
        np.random.seed(derive_seed(seed, phase, "mixup", epoch) % 2**32)  # timm's Mixup draws from numpy's global state
        batches = data.train.batches(
            recipe.batch_size,
            seed=derive_seed(seed, phase),
            epoch=epoch,
            augment=recipe.augment,
            drop_last=True,
            device=accelerator.device,
            rank=accelerator.process_index,
            processes=accelerator.num_processes,
        )
        model.train()
        losses = torch.zeros(steps, device=accelerator.device)
        looked = 0
        for step, (images, labels) in enumerate(batches):
            scheduler.step_update(epoch * steps + step)
            loss = target.loss(model, images, labels)
            accelerator.backward(loss)
            if recipe.clip_grad:
                accelerator.clip_grad_norm_(model.parameters(), recipe.clip_grad)
            prepared.step()
            prepared.zero_grad()
            if ema is not None:
                ema.update(network, step=epoch * steps + step + 1)
            losses[step] = loss.detach()
            if step + 1 - looked == LOOK_AT_LOSS_EVERY or step + 1 == steps:
                _stop_unless_finite(losses, looked, step + 1, epoch, recipe)
                if on_step is not None:
                    on_step(step + 1 - looked)
                looked = step + 1
        train_loss = float(accelerator.reduce(losses.mean(), reduction="mean"))
        seconds += time.perf_counter() - began
        if checkpoint is not None and accelerator.is_main_process:
            _save(Path(checkpoint), parts, identity, epoch + 1, seconds, train_loss)
        record = {"train_loss": train_loss, "lr": float(optimizer.param_groups[0]["lr"]), "train_seconds": seconds}
        if evaluate_every and (epoch + 1) % evaluate_every == 0 and epoch + 1 < recipe.epochs:
            record |= evaluate(network if ema is None else ema.module, data.test, accelerator=accelerator)
        if on_epoch is not None:
            on_epoch(epoch, record)
    if ema is not None:
        network.load_state_dict(ema.module.state_dict())
    accelerator.free_memory()
    figures = evaluate(network, data.test, accelerator=accelerator)
    return {**figures, "train_loss": train_loss, "train_seconds": seconds}


def finished_epochs(checkpoint: Path) -> int:
    """Epochs done in a checkpoint of `train`; 0 where there is none."""
    return int(checkpoints.load(checkpoint)["progress"]["epoch"]) if checkpoint.exists() else 0


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
    batches = split.batches(batch_size, shuffle=False, device=device, rank=rank, processes=processes)
    for images, labels in batches:
        with nullcontext() if accelerator is None else accelerator.autocast():
            logits = network(images).float()
        hits = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
        loss = F.cross_entropy(logits, labels, reduction="sum")
        sums += torch.stack([hits[:, 0].sum(), hits.sum(), loss]).double()
    network.train(training)
    if accelerator is not None:
        sums = accelerator.reduce(sums)
    top1, top5, loss = (float(value) / len(split) for value in sums)
    return {"top1_percent": 100 * top1, "top5_percent": 100 * top5, "loss": loss}


class _Target:
    """Cross-entropy with a recipe's label smoothing, mixup and cutmix."""

    def __init__(self, recipe: Recipe, num_classes: int) -> None:
        self.smoothing = recipe.label_smoothing
        self.mix = None
        if recipe.mixup or recipe.cutmix:
            self.mix = Mixup(
                recipe.mixup, recipe.cutmix, label_smoothing=recipe.label_smoothing, num_classes=num_classes
            )

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        if self.mix is None or len(images) % 2:
            return F.cross_entropy(model(images), labels, label_smoothing=self.smoothing)
        images, mixed = self.mix(images, labels)
        return F.cross_entropy(model(images), mixed)


def _check_fit(network: nn.Module, data: ImageData) -> None:
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


def _stop_unless_finite(losses: Tensor, start: int, stop: int, epoch: int, recipe: Recipe) -> None:
    """Raise `ValueError` at the first of steps `start..stop` whose loss is NaN or infinite."""
    wrong = (~torch.isfinite(losses[start:stop])).nonzero()
    if len(wrong):
        step = start + int(wrong[0])
        raise ValueError(
            f"the loss is {float(losses[step])} in epoch {epoch + 1}, step {step + 1}: training diverged; lower the "
            f"recipe's lr ({recipe.lr}) or clip gradients (clip_grad); the checkpoint of the last good epoch is kept"
        )


def _save(path: Path, parts: dict[str, Any], identity: dict[str, Any], epoch: int, seconds: float, loss: float) -> None:
    state = {name: part.state_dict() for name, part in parts.items()}
    progress = {"epoch": epoch, "seconds": seconds, "train_loss": loss}
    checkpoints.save(path, {"format": FORMAT, "identity": identity, "progress": progress, **state})


def _restore(path: Path, parts: dict[str, Any], identity: dict[str, Any]) -> tuple[int, float, float]:
    """Load `path` into `parts`; returns finished epochs, their seconds and the last training loss."""
    state = checkpoints.load(path)
    if state.get("format") != FORMAT:
        raise ValueError(f"{path} is not a training checkpoint")
    saved = state["identity"]
    for key, value in identity.items():
        if saved.get(key) != value:
            raise ValueError(
                f"checkpoint {path} is of another run: its {key} is {saved.get(key)!r}, asked is {value!r}; give the "
                "same configuration to resume, or another run_dir to start afresh"
            )
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except (KeyError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"checkpoint {path} does not fit this network and recipe: {reason}") from None
    progress = state["progress"]
    return progress["epoch"], progress["seconds"], progress["train_loss"]
