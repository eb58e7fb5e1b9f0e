"""When the state of an epoch that is under way is kept: every so many minutes, and where the process is to end.

It lies beside the checkpoint of the last finished epoch (`train.step.pt` beside `train.pt`), in two generations of its
own, so that a collapse in the middle of an epoch never costs the last good one. With the end of its epoch it goes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.runs import checkpoint as checkpoints
from nas.runs.keeping import stopping
from nas.runs.keeping.settings import MINUTES
from nas.terminal.progress import log

AGREE_EVERY = 10  # steps: processes wait for each other to agree
INTERVAL = 1  # what `Keeper.due` says where time is up


def step_file(path: Path) -> Path:
    """Where the unfinished epoch behind checkpoint `path` lies."""
    return path.with_name(f"{path.stem}.step{path.suffix}")


class Keeper:
    """Keeps the unfinished epoch of the loop whose epochs are in `path`; None: nothing is kept.

    `writes`: whether this process does, one of several. `agree`: of several, the largest of the numbers that they give
    it at the same step, so that what one is told all of them do; asked every `AGREE_EVERY` steps.
    """

    def __init__(
        self,
        path: Path | None,
        minutes: float = MINUTES,
        writes: bool = True,
        agree: Callable[[int], int] | None = None,
    ) -> None:
        self.path = None if path is None else step_file(path)
        self.seconds, self.writes, self._agree = 60 * minutes, writes, agree
        self._last = time.monotonic()
        self._steps = 0

    def due(self) -> int:
        """`INTERVAL` where it is time to keep this step, and as much more as the signal's number (which may be 1) where
        the process is to end; else 0."""
        if self._agree is None:
            return self._due()
        self._steps += 1
        return self._agree(self._due()) if self._steps % AGREE_EVERY == 0 else 0

    def _due(self) -> int:
        if number := stopping.asked():
            return INTERVAL + number
        is_late = self.path is not None and self.seconds and time.monotonic() - self._last >= self.seconds
        return INTERVAL if is_late else 0

    def keep(self, state: dict[str, Any], due: int = INTERVAL) -> None:
        """Write `state`; raises `Terminated` where `due` says that the process is to end."""
        if self.path is not None and self.writes:
            checkpoints.save(self.path, state)
        self._last = time.monotonic()
        if due > INTERVAL:
            raise stopping.Terminated(due - INTERVAL)

    def unfinished(self) -> dict[str, Any] | None:
        """The newest intact state; None where there is none, also where both generations are damaged, which is said."""
        if self.path is None:
            return None
        try:
            return checkpoints.latest(self.path, "going on from the last finished epoch")
        except checkpoints.Damaged as error:
            log(f"{error.args[0].partition(';')[0]}; so is the one before it: going on from the last finished epoch")
            return None

    def finished(self) -> None:
        """The epoch is over, or to begin again: what was kept of it goes."""
        self._last = time.monotonic()
        if self.path is not None and self.writes:
            for file in (self.path, checkpoints.previous(self.path)):
                file.unlink(missing_ok=True)
