"""What a training is told beside its recipe."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from nas.runs.keeping.settings import BY_DEFAULT, Keeping
from nas.train.distillation import Distillation
from nas.train.start.tuning import NOTHING_TUNED, Tuning


@dataclass(frozen=True)
class Begin:
    """The first `epochs` epochs of the same training on other images: those of the fingerprint `data`.

    `path`: its checkpoint. Nothing but the images may differ, which are a part of the present ones where the others
    were held out. The schedule counts epochs, so it goes on without a jump however many steps an epoch has.
    """

    path: Path
    epochs: int
    data: str


@dataclass(frozen=True)
class Options:
    """What a training keeps and reports, and how much of its recipe it does; by default all, and only the result.

    At every epoch's end the whole state goes to the file `checkpoint`, between two ends as often as `keeping` says to
    one beside it. Where there is one, training goes on from it, and on the CPU ends bit for bit where an uninterrupted
    one ends. `may_change`: entries of the checkpoint's identity that an unfinished training may go on with other values
    of, such as `recipe.lr` (see `nas.runs.resuming`).

    `on_epoch(epoch, record)` gets each finished epoch (from 0) just before its checkpoint: whoever keeps records
    forgets, on resuming, those that the checkpoint has not seen, and misses none. `on_step(steps)` gets each piece of
    steps done. The test split is looked at every `evaluate_every` epochs (0: only at the end), for the record only.

    `stop_epoch`: the training ends after so many epochs, at the learning rate the whole recipe has there: bit for bit
    where the whole training stood (None: the whole recipe). `phase` names its stream of random numbers.

    Each process takes its part of a batch in `accumulate` equal pieces, one after the other, whose gradients are added:
    less memory, and batch-norm statistics of a piece. So many pieces of one process are those of as many processes.

    `begin`: where `checkpoint` does not exist yet, the training goes on from there. `distillation`: a trained network
    that is learned from besides the labels. `tuning`: which weights learn, and how fast. `quantize`: int8, what the
    network is rounded to while it learns (None: nothing; see `nas.train.loop.rounding`).
    `compile`: the backend of `torch.compile` that the steps go through (None: none does).
    """

    checkpoint: Path | None = None
    may_change: Collection[str] = ()
    on_epoch: Callable[[int, dict[str, float]], None] | None = None
    on_step: Callable[[int], None] | None = None
    evaluate_every: int = 0
    stop_epoch: int | None = None
    phase: str = "train"
    begin: Begin | None = None
    accumulate: int = 1
    keeping: Keeping = BY_DEFAULT
    distillation: Distillation | None = None
    tuning: Tuning = NOTHING_TUNED
    quantize: str | None = None
    compile: str | None = None


DEFAULTS = Options()
