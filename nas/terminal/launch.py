"""Processes that `torchrun` or `accelerate launch` start: refused where a command runs in one, said where they are not.

`torchrun` tells each process its rank and their number in the environment.
"""

from __future__ import annotations

import os
import time

import psutil

DISTRIBUTED = ("train", "evaluate", "search")  # commands that share their work between processes

SPEAKS_AFTER_SECONDS = 3.0  # a launcher looks at its processes every tenth of a second


def refusal(command: str) -> str | None:
    """Why this process may not run `command`; None where it may, and empty in all processes but the first."""
    processes, rank = (_number(name, default) for name, default in (("WORLD_SIZE", 1), ("RANK", 0)))
    if processes < 2 or command in DISTRIBUTED:
        return None
    if rank > 0:
        return ""
    return (
        f"nas.{command} runs in one process, but {processes} were launched; start it without a launcher: "
        f"python -m nas.{command} ... (several processes: nas.{', nas.'.join(DISTRIBUTED)})"
    )


def check_alone(function: str, command: str) -> None:
    """Raise `ValueError` where several processes were launched for a script that calls `function`."""
    processes = _number("WORLD_SIZE", 1)
    if processes > 1:
        raise ValueError(
            f"{function} runs in one process, but {processes} were launched; start the script without a launcher, or "
            f"launch the command: torchrun --nproc-per-node {processes} -m {command} ..."
        )


def rank() -> int:
    """The number of this process among those that were launched, from 0."""
    return _number("RANK", 0) if _number("WORLD_SIZE", 1) > 1 else 0


def let_the_first_speak(rank: int) -> None:
    """Of an error that all processes meet the first one's line is enough: its end makes the launcher end the others."""
    if rank > 0:
        time.sleep(SPEAKS_AFTER_SECONDS)


def forget() -> None:
    """Let processes that this one starts know nothing of the launcher: they compute by themselves."""
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)


def note(parent: list[str] | None = None) -> str | None:
    """What to say where `accelerate launch` was asked for several processes and started one.

    `parent`: the command line of the parent process, by default read from the system.
    """
    if _number("WORLD_SIZE", 1) > 1:
        return None
    words = _parent() if parent is None else parent
    if not any("accelerate" in word for word in words[:3]) or "launch" not in words:
        return None
    asked = 1
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name in ("--num_processes", "--num-processes"):
            text = value if equals else following
            asked = int(text) if text.isdigit() else 1
    if asked < 2:
        return None
    return (
        f"NOTE: accelerate launch was asked for {asked} processes and started this one alone; several GPUs need "
        f"--multi_gpu, several processes on CPUs torchrun --nproc_per_node {asked}"
    )


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else default


def _parent() -> list[str]:
    try:
        parent = psutil.Process().parent()
        return parent.cmdline() if parent else []
    except psutil.Error:
        return []
