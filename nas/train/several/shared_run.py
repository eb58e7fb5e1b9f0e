"""One run directory for several processes: the first opens and writes it, all know where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from nas.runs.run import Run


@contextmanager
def shared_run(
    accelerator: Accelerator, run_dir: str | None, resume: str | None, name: str, stored: Mapping[str, Any]
) -> Iterator[tuple[Path, Run | None]]:
    """The run directory, and the `Run` that holds it: None in all processes but the main one."""
    run = Run.open(run_dir, resume, name, dict(stored)) if accelerator.is_main_process else None
    with nullcontext() if run is None else run:
        path = [None if run is None else str(run.path)]
        if accelerator.num_processes > 1:
            broadcast_object_list(path)
        assert path[0] is not None
        yield Path(path[0]), run
