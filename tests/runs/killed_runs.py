"""Searches as processes of their own, which can be killed: what the tests of interrupted runs share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch


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


def command(folder: Path, module: str, *settings: str, seconds: float | None = None) -> float | None:
    """`python -m module` in `folder`: the seconds it took; None where it was killed (SIGKILL) after `seconds`."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *settings],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        text, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()  # not read to its end, which comes when the last of its workers is gone
        return None
    assert process.returncode == 0, text
    return time.perf_counter() - began


def kill_when(process: subprocess.Popen[str], moment: Callable[[], bool]) -> None:
    """Kill it as soon as `moment()` holds; a search that ends before is a failure."""
    while not moment():
        assert process.poll() is None, f"the run ended before the moment came: {process.communicate()[0]}"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def same(a: object, b: object) -> bool:
    """Whether two checkpoints agree to the last bit in everything but the time they took."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a if "seconds" not in str(key))
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b


def damage(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
