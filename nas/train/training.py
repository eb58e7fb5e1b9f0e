"""Training and evaluating one network, resumable at every step bit for bit."""

from __future__ import annotations

import copy
from pathlib import Path

from accelerate import Accelerator
from torch import nn

from nas.data import ImageData, Split
from nas.networks import network as networks
from nas.runs import checkpoint as checkpoints
from nas.runs.keeping import stopping
from nas.runs.keeping.collapse import Collapsed
from nas.runs.memory import keep_freed_memory
from nas.runs.seeding import seed_global
from nas.train.accelerator import make_accelerator
from nas.train.accuracy import evaluate
from nas.train.averaging import judged
from nas.train.fit import check_fit
from nas.train.loop.epoch import run_epoch
from nas.train.loop.state import FORMAT, TRAINING_VERSION, TrainingState, progress_of
from nas.train.options import DEFAULTS, Options
from search_spaces.arch import Arch
from search_spaces.blocks.parts.initialisation import zero_init_residuals
from search_spaces.recipe import Recipe

__all__ = [
    "FORMAT",
    "TRAINING_VERSION",
    "Options",
    "build_network",
    "evaluate",
    "finished_epochs",
    "images_per_step",
    "steps_per_epoch",
    "train",
]

TESTED = ("top1_percent", "top5_percent", "loss")


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
    where data and network do not fit, where the checkpoint is damaged or of something else, and where the training
    collapses (`nas.runs.keeping.collapse`); the checkpoint of the last good epoch stays.
    """
    accelerator = make_accelerator("cpu") if accelerator is None else accelerator
    check_fit(network, data, recipe, accelerator, options.accumulate, options.tuning)
    epochs = recipe.epochs if options.stop_epoch is None else options.stop_epoch
    if not 1 <= epochs <= recipe.epochs:
        raise ValueError(f"stop_epoch must lie between 1 and the recipe's {recipe.epochs} epochs, got {epochs}")
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    run = TrainingState(network, data, recipe, seed, accelerator, options)
    run.restore(options, epochs)
    figures: dict[str, float] | None = None
    try:
        while run.progress["epoch"] < epochs:
            try:
                figures = _one_epoch(run, options, epochs)
            except Collapsed as error:
                run.roll_back(error)
        figures = run.finish() if figures is None else figures
    finally:
        run.close()
    return {**figures, "train_loss": run.progress["train_loss"], "train_seconds": run.progress["seconds"]}


def _one_epoch(run: TrainingState, options: Options, epochs: int) -> dict[str, float] | None:
    """The next of so many epochs, reported and kept; the result's figures where it is the last."""
    epoch, evaluate_every = int(run.progress["epoch"]), options.evaluate_every
    is_last, figures = epoch + 1 == epochs, None
    done, before = run_epoch(run, epoch, options.on_step), run.progress
    run.watch.look(epoch, done.loss)
    run.finished(epoch, before["seconds"] + done.seconds, done.loss)
    record = {"train_loss": done.loss, "train_top1_percent": done.top1_percent, "lr": run.learning_rate}
    record["train_seconds"] = run.progress["seconds"]
    if run.watch.roll_backs:
        record["roll_backs"] = run.watch.roll_backs
    state, looked_at = run.state(), run.network
    if is_last:
        state = copy.deepcopy({**state, "progress": None})  # the network becomes the result
    try:
        if is_last:
            figures = run.finish()
            record |= {name: value for name, value in figures.items() if evaluate_every or name not in TESTED}
        elif evaluate_every and (epoch + 1) % evaluate_every == 0:
            looked_at = run.counting()
            record |= evaluate(looked_at, run.data.test, accelerator=run.accelerator)
    except stopping.Terminated:  # all steps are done, and what is left of the epoch is looking at it
        run.keeper.keep({**state, "progress": before, "within": done.within})
        raise
    if is_last and run.recipe.ema_decay:
        state["result"] = run.network.state_dict()  # neither the raw weights nor the bare average
    with stopping.at_next_step():
        if "top1_percent" in record:
            run.keep_best(options.checkpoint, looked_at, record["top1_percent"])
        if options.on_epoch is not None:
            options.on_epoch(epoch, record)
        if options.checkpoint is not None and run.accelerator.is_main_process:
            checkpoints.save(options.checkpoint, {**state, "progress": run.progress})
        run.keeper.finished()
    return figures


def steps_per_epoch(data: ImageData, recipe: Recipe) -> int:
    """Steps of one epoch on the training images that are not held out to judge the recipe's moving average."""
    return _learned(data, recipe).num_batches(recipe.batch_size, drop_last=True)


def images_per_step(data: ImageData, recipe: Recipe) -> int:
    """Images of one step, of all processes together."""
    return min(recipe.batch_size, len(_learned(data, recipe)))


def _learned(data: ImageData, recipe: Recipe) -> Split:
    return judged(data.train)[0] if recipe.ema_decay else data.train


def finished_epochs(checkpoint: Path) -> int:
    """How many epochs of training `checkpoint` holds; 0 where there is none yet."""
    state = checkpoints.latest(checkpoint)
    if state is None:
        return 0
    return int(progress_of(state, checkpoint)["epoch"])
