"""A run that comes to another network than before: nothing of the former one is handed over for its own."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from nas.methods.candidates.log import MODEL, RECEIPT, forget
from nas.runs import checkpoint as checkpoints
from nas.runs.files import set_aside
from nas.runs.keeping.keeper import Keeper
from nas.runs.metrics import Metrics
from nas.runs.result_file import read_result
from nas.terminal.progress import log
from search_spaces.arch import Arch
from search_spaces.plain_data import identity
from search_spaces.recipe import Recipe
from search_spaces.space import Genotype


def give_way_to(folder: Path, metrics: Metrics, arch: Arch, recipe: Recipe, may_differ: Collection[str] = ()) -> None:
    """Keep what the run in `folder` has trained under other names, unless it is `arch` by `recipe`.

    `recipe`: that of the training itself, which `train.epochs` may have made shorter and left without warmup.
    `may_differ`: values of a recipe that do not make it another one.
    """
    path = folder / "checkpoints" / "train.pt"
    state = checkpoints.latest(path) or Keeper(path).unfinished()
    if state is None:
        return
    known, ours = state.get("identity") or {}, recipe.to_dict()
    theirs = {**dict(known.get("recipe") or {}), **{name: ours[name] for name in may_differ}}
    if known.get("arch") != arch.id or identity.differences({"recipe": theirs}, {"recipe": ours}):
        set_aside_trainings(folder, metrics)


def set_aside_trainings(folder: Path, metrics: Metrics) -> None:
    """Keep what the run in `folder` has trained, of a network that is no longer its, under other names."""
    for checkpoint in (folder / "checkpoints").glob("train*.pt"):
        log(f"{checkpoint.name} is of another network: kept as before-{checkpoint.name}")
        checkpoint.replace(checkpoint.with_name(f"before-{checkpoint.name}"))
    metrics.rewind("train", 0)


def forget_receipt(folder: Path, genotype: Genotype) -> None:
    """Take away what the run in `folder` tells of its network, unless that has this `genotype`; its model is kept under
    another name."""
    try:
        told = read_result(folder)
    except ValueError:  # none, or damaged: it is written anew
        return
    if tuple((told["found"] or told).get("genotype") or ()) == tuple(genotype):
        return
    if (model := folder / MODEL).exists():
        log(f"{model} is of another network: kept as {set_aside(model).name}")
    forget(folder, RECEIPT)
