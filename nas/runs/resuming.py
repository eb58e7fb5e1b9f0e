"""What may change when a search or a training goes on from its checkpoint, and the check of everything else.

A changed setting must be harmless for what is done already, or fix what stopped it: a lower learning rate
after a loss that is not a number. Nothing finished is handed out under settings that it was not made with.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from nas.runs.run import Run
from nas.terminal.progress import log
from search_spaces.plain_data import identity
from search_spaces.plain_data.identity import Identity

FIXES = ("recipe.lr", "recipe.clip_grad", "recipe.min_lr")  # of a training that diverged
SEARCH_FIXES = ("method.weight_lr", "method.theta_lr", "method.threshold_lr", "method.temperature_floor")
PRETRAINING_FIXES = tuple(f"pretraining.{key}" for key in FIXES)
MAY_CHANGE = (
    *FIXES,
    "recipe.epochs",
    *SEARCH_FIXES,
    *PRETRAINING_FIXES,
    "method.epochs",
    "evaluate_every",
    "train.evaluate_every",
)  # keys of the command line
FIX = "give the same settings to resume, or another run_dir to start afresh"


def go_on(run: Run, phase: str, done: int, checkpoint: Path) -> None:
    """Forget what `run` recorded of `phase` behind the `done` epochs in `checkpoint`; says where that lost all of them.

    One epoch may be recorded that no checkpoint has yet: the record comes first.
    """
    recorded = len(run.records(phase))
    if not done and recorded > 1:
        log(f"{run.path} has recorded {recorded} epochs of {phase}, which {checkpoint} lacks: they are done again")
    run.rewind(phase, done)


def check_checkpoint(
    path: Path, known: Identity, asked: Identity, may_change: Collection[str], is_finished: bool
) -> list[str]:
    """The allowed changes between a checkpoint's identity and the one asked for, as phrases.

    Raises `ValueError` naming what differs and may not; of a finished search or training nothing may.
    """
    what = f"checkpoint {path}"
    identity.check(what, _without(known, may_change), _without(asked, may_change), FIX)
    changes = identity.differences(known, asked)
    if changes and is_finished:
        raise ValueError(f"{what} is finished, and what is finished keeps its settings: {'; '.join(changes)}; {FIX}")
    return changes


def _without(values: Identity, keys: Collection[str]) -> dict[str, Any]:
    """A copy of `values` without `keys`, whose dots lead into nested mappings."""
    left = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for key in keys:
        outer, _, inner = key.rpartition(".")
        (left.get(outer, {}) if outer else left).pop(inner, None)
    return left
