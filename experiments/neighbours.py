"""Busy processes beside a measurement."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def beside(programs: Sequence[str]) -> Iterator[None]:
    """Each of `programs`, Python that never ends, runs as a process of its own meanwhile."""
    busy = [subprocess.Popen([sys.executable, "-c", text]) for text in programs]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()
