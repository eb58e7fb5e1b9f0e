"""The first process of several leads: it does all that one process does, and calls the others where they can help.

Between two calls the others wait for as long as it takes (a device may be measured for hours). A connection that closes
ends the waiting: nobody outlives the first process.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from accelerate import Accelerator

LONGEST_WAIT = timedelta(days=365)  # not a limit: gloo wants one


@functools.cache
def _group() -> dist.ProcessGroup:
    """All processes, for words rather than tensors; made by all of them at the same point."""
    made = dist.new_group(backend="gloo", timeout=LONGEST_WAIT)
    assert isinstance(made, dist.ProcessGroup)  # all processes are members
    return made


def call(accelerator: Accelerator, work: Any) -> None:
    """The first process: let the others begin `work`, picklable data; None: they are no longer needed."""
    if accelerator.num_processes > 1:
        dist.broadcast_object_list([work], src=0, group=_group())


def calls(accelerator: Accelerator) -> Iterator[Any]:
    """The others: each piece of work as the first process calls for it, until there is no more."""
    while True:
        heard: list[Any] = [None]
        dist.broadcast_object_list(heard, src=0, group=_group())
        if heard[0] is None:
            return
        yield heard[0]
