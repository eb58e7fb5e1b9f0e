"""What a moving average of weights needs before it counts: batch-norm statistics of its own, and a fair judge.

The statistics a network gathers while it trains belong to the weights of that moment; behind averaged weights they are
foreign, and the network is worse than either. They are estimated anew from training images. Whether the average then
beats the raw weights is a question for images that neither was trained on: a small, fixed, stratified part of the
training images, held out for the whole training by recipes that keep an average, and by those alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from nas.data.split import Place, Split
from nas.runs.seeding import derive_seed, generator, numpy_generator

HELD_OUT, HELD_OUT_AT_MOST = 0.05, 5000  # share of the training images that judge, and their largest number
STATISTICS_IMAGES = 8192


def judged(split: Split) -> tuple[Split, Split]:
    """Training images `split` as those that are trained on and those that judge, the same ones for every seed.

    Each class gives its share, rounded up or down; a class keeps at least one image for training. Raises `ValueError`
    where no class has two images.
    """
    labels = split.labels.numpy()
    rows = numpy_generator(0, "judges").permutation(len(labels))
    rows = rows[np.argsort(labels[rows], kind="stable")]
    rows = rows[np.bincount(labels)[labels[rows]] > 1]  # the only image of a class is trained on
    if not len(rows):
        raise ValueError("recipe.ema_decay needs a class of two training images, to judge the average on one; set it 0")
    count = min(max(round(HELD_OUT * len(rows)), 1), HELD_OUT_AT_MOST)
    judges = np.sort(rows[(np.arange(count) * len(rows)) // count])  # evenly over the classes
    others = np.setdiff1d(np.arange(len(labels)), judges)
    return split.subset(torch.from_numpy(others)), split.subset(torch.from_numpy(judges))


@torch.no_grad()
def estimate_statistics(
    network: nn.Module,
    split: Split,
    batch_size: int,
    seed: int,
    most: int = STATISTICS_IMAGES,
    spared: Collection[str] = (),
) -> None:
    """Give every batch norm of `network` the statistics of `split`, in place: the mean over whole batches.

    At most `most` images, drawn by `seed`, without augmentation. Dropout and stochastic depth rest, as
    they do when the network is used. Batch norms called as one of `spared` keep what they have.
    """
    named = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]
    norms = [module for name, module in named if name not in spared]
    if not norms:
        return
    if len(split) > most:
        drawn = torch.randperm(len(split), generator=generator(seed, "statistics"))[:most]
        split = split.subset(drawn.sort().values)
    device = next(network.parameters()).device
    training, momenta = network.training, [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
        norm.train()
    stream = derive_seed(seed, "statistics")
    for images, _ in split.batches(batch_size, seed=stream, drop_last=True, place=Place(device)):
        network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(training)


def keep_better(
    network: nn.Module,
    average: Mapping[str, Tensor],
    figures: Callable[[Split], dict[str, float]],
    test: Split,
    judges: Split,
) -> dict[str, float]:
    """Leave in `network` its own weights or those of `average`, whichever are better on `judges`.

    Better: higher top-1 accuracy, then lower loss, then the average. `figures(split)` measures `network` as it stands.
    Returns the figures on `test` of those that are kept, and both's; see `nas.train.training.train`.
    """
    states = {"raw": copy.deepcopy(network.state_dict()), "average": average}
    tested, judged_as = {}, {}
    for name, state in states.items():
        network.load_state_dict(state)
        tested[name], judged_as[name] = figures(test), figures(judges)
    worth = {name: (found["top1_percent"], -found["loss"]) for name, found in judged_as.items()}
    kept = "raw" if worth["raw"] > worth["average"] else "average"
    network.load_state_dict(states[kept])
    both = {f"{name}_top1_percent": found["top1_percent"] for name, found in tested.items()}
    both |= {f"{name}_held_out_top1_percent": found["top1_percent"] for name, found in judged_as.items()}
    return {**tested[kept], **both, "kept_average": kept == "average"}


def verdict(figures: Mapping[str, float]) -> str | None:
    """Which weights were kept and why, in a sentence; None for the figures of a training without an average."""
    if "kept_average" not in figures:
        return None
    kept, other = ("averaged", "raw") if figures["kept_average"] else ("raw", "averaged")
    raw, average = (f"{figures[f'{name}_held_out_top1_percent']:.2f}%" for name in ("raw", "average"))
    return f"kept the {kept} weights, not the {other} ones: raw {raw}, average {average} on held-out training images"
