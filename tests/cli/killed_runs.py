"""Searches as processes of their own, which can be killed: what the tests of interrupted runs share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def start(folder: Path, *settings: str) -> subprocess.Popen[str]:
    """`nas.search` in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "nas.search", *settings],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(folder: Path, *settings: str) -> str:
    """What such a search says, from its beginning to its end."""
    process = start(folder, *settings)
    text, _ = process.communicate()
    assert process.returncode == 0, text
    return text


def kill_when(process: subprocess.Popen[str], moment: Callable[[], bool]) -> None:
    """Kill it as soon as `moment()` holds; a search that ends before is a failure."""
    while not moment():
        assert process.poll() is None, f"the run ended before the moment came: {process.communicate()[0]}"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
