"""Timing training steps beside each other, and what memory they take: what the step benchmarks share."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Step = Callable[[], Tensor]
Makers = Mapping[str, Callable[[], Step]]

WARM_UP = 2  # steps


def training_step(module: nn.Module, forward: Callable[[], Tensor], labels: Tensor) -> Step:
    """Forward, loss and backward of `module`; bf16 on CUDA."""
    kind = labels.device.type

    def run() -> Tensor:
        with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
            logits = forward()
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        module.zero_grad()
        return loss.detach()

    return run


def times_ms(makers: Makers, repeats: int, device: torch.device, sampled: tuple[str, ...]) -> dict[str, list[float]]:
    """Interleaved step times after `WARM_UP` steps each; those of `sampled` are means over four sampled paths."""
    steps = {name: make() for name, make in makers.items()}
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + WARM_UP):
        for name, step in steps.items():
            count = 4 if name in sampled else 1
            if device.type == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            for _ in range(count):
                step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn >= WARM_UP:
                taken[name].append(1e3 * (time.perf_counter() - began) / count)
    return taken


def median_ms(taken: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in taken.items()}


def peak_mib(module: str, resolution: int, name: str, makers: Makers, device: torch.device) -> float:
    """Peak memory of three steps above that of the built network: as CUDA counts, or in a process of its own (CPU).

    On a CPU `module` is run with `--memory-of name --resolution resolution` and prints what `memory_of` gives.
    """
    if device.type == "cuda":
        step = makers[name]()
        torch.cuda.reset_peak_memory_stats()
        for _ in range(3):
            step()
        return torch.cuda.max_memory_allocated() / 2**20
    command = [sys.executable, "-m", module, "--memory-of", name, "--resolution", str(resolution)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def memory_of(makers: Makers, name: str) -> float:
    """MiB that three steps of `name` add to this process's peak."""
    step = makers[name]()
    before = high_water_kib()
    for _ in range(3):
        step()
    return (high_water_kib() - before) / 1024


def high_water_kib() -> int:
    """The process's peak resident memory. (getrusage would count the parent's, from before the exec.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
