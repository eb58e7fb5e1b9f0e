"""Accuracy and loss of a network on a split of the data."""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

from nas.data.split import Place, Split
from nas.train.accelerator import place_of

EVALUATION_BATCH = 512


@torch.no_grad()
def evaluate(
    network: nn.Module,
    split: Split,
    *,
    batch_size: int = EVALUATION_BATCH,
    device: torch.device | str | None = None,
    accelerator: Accelerator | None = None,
    autocast: bool = True,
) -> dict[str, float]:
    """`top1_percent`, `top5_percent` and mean cross-entropy `loss` of `network` on `split`, in eval mode.

    Runs where the network's parameters are, unless `device` moves it; with `accelerator`, its processes share the
    images and, unless `autocast` is False, its precision is used. With fewer than five classes top-5 counts all of
    them.
    """
    if accelerator is not None:
        device = accelerator.device
    if device is None:
        device = next(network.parameters()).device
    network.to(device)
    training = network.training
    network.eval()
    place = Place(device) if accelerator is None else place_of(accelerator)
    sums = torch.zeros(3, dtype=torch.float64, device=device)  # correct in the first, in the first five, loss
    for images, labels in split.in_order(batch_size, place):
        if not len(images):  # the last batch has fewer images than there are processes
            continue
        with nullcontext() if accelerator is None or not autocast else accelerator.autocast():
            logits = network(images).float()
        hits = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
        loss = F.cross_entropy(logits, labels, reduction="sum")
        sums += torch.stack([hits[:, 0].sum(), hits.sum(), loss]).double()
    network.train(training)
    if accelerator is not None:
        sums = accelerator.reduce(sums)
    top1, top5, mean = (float(value) / len(split) for value in sums)
    return {"top1_percent": 100 * top1, "top5_percent": 100 * top5, "loss": mean}


@torch.no_grad()
def right_class_percent(network: nn.Module, split: Split, accelerator: Accelerator) -> float:
    """The mean probability that `network`, in eval mode, gives to the right class of an image of `split`, in percent.

    Of the same images it tells networks that are nearly trained apart where their accuracies, a bit an image, do not
    (`experiments/judging`).
    """
    training = network.training
    network.eval()
    total = torch.zeros((), dtype=torch.float64, device=accelerator.device)
    for images, labels in split.in_order(EVALUATION_BATCH, place_of(accelerator)):
        if len(images):
            total += network(images).float().softmax(1).gather(1, labels[:, None]).double().sum()
    network.train(training)
    return 100 * float(accelerator.reduce(total)) / len(split)
