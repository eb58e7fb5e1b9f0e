"""How many pieces a batch is taken in where the device's memory decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from accelerate.utils import find_executable_batch_size
from torch import nn

from nas.runs import checkpoint as checkpoints
from nas.runs.keeping.keeper import step_file
from nas.terminal.progress import log
from nas.train.fit import OneImage

T = TypeVar("T")


def in_pieces(train: Callable[[int], T], network: nn.Module, images: int, checkpoint: Path) -> T:
    """`train(count)`, `network` as it is now, with the fewest pieces of the `images` of a step that fit into memory.

    One piece, then at least twice as many each time that memory runs out, equal ones; a training that is continued from
    `checkpoint` begins with the pieces it had. Batch and learning rates stay as they are, batch-norm statistics are
    those of a piece. Raises `ValueError` where no number fits, and where memory runs out behind a kept step.
    """
    before = 0  # images of a piece that did not fit
    begins = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    count = _known(checkpoint)

    def smaller() -> int:
        nonlocal count, before
        before = images // count
        if any(checkpoints.latest(path) is not None for path in (checkpoint, step_file(checkpoint))):
            raise ValueError(
                f"memory ran out in the middle of the training, in {count} pieces, which what is kept of it has; begin "
                f"another run_dir with accumulate={2 * count}"
            )
        count = next((many for many in range(2 * count, images + 1) if images % many == 0), 0)
        if count:
            log(f"out of memory: each batch is taken in {count} pieces, one after the other")
        return images // count if count else 0

    @find_executable_batch_size(starting_batch_size=images // count, reduce_batch_size_fn=smaller)
    def attempt(size: int) -> T:
        network.load_state_dict(begins)
        return train(images // size)

    try:
        return attempt()
    except OneImage:
        if not before:
            raise
        between = "a recipe.batch_size with equal pieces of fewer than that (a power of two)"
        way = between if before > 2 else "a smaller network"
        raise ValueError(
            f"out of memory with {before} images at a time, and one is too few: on maps of one pixel a batch norm "
            f"has no variance; take {way}"
        ) from None
    except RuntimeError as error:
        if "No executable batch size" not in str(error):
            raise
        raise ValueError(
            f"out of memory, whatever the equal pieces of {images} images; take a smaller batch_size or resolution"
        ) from None


def _known(checkpoint: Path) -> int:
    """The pieces that the training of `checkpoint` was begun with; 1 where there is none."""
    states = (checkpoints.latest(path) for path in (checkpoint, step_file(checkpoint)))
    return next((int(state["identity"].get("accumulate", 1)) for state in states if state is not None), 1)
