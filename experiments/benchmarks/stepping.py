"""Timing training steps beside each other, and what memory they take: what the step benchmarks share."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.methods.supernets.channel_masks import MaskedNetwork
from nas.methods.supernets.paths import draw_path, initial_theta
from nas.runs.files import write_json
from nas.runs.machine import cpu_model
from nas.runs.memory import keep_freed_memory
from search_spaces.space import SearchSpace

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


def masked_step(space: SearchSpace, learn_theta: bool, images: Tensor, labels: Tensor) -> Step:
    """The step of a search under channel masks that trains the weights, or theta, at a soft path, on a CPU."""
    torch.manual_seed(0)
    module = MaskedNetwork(space).to(memory_format=torch.channels_last).train()
    module.requires_grad_(not learn_theta)
    sizes = [len(variable) for variable in space.variables]
    theta, noise = initial_theta(sizes).requires_grad_(learn_theta), torch.Generator().manual_seed(0)

    def forward() -> Tensor:
        path, _ = draw_path(theta, 5.0, "soft", noise, differentiable=learn_theta)
        logits: Tensor = module(images, path.rows(sizes))
        return logits

    return training_step(module, forward, labels)


def images_and_labels(batch: int, pixels: int, classes: int) -> tuple[Tensor, Tensor]:
    """Noise (batch, 3, pixels, pixels), channels last, and labels in turn."""
    images = torch.randn(batch, 3, pixels, pixels, generator=torch.Generator().manual_seed(1))
    return images.contiguous(memory_format=torch.channels_last), torch.arange(batch).remainder(classes)


def cpu_options(description: str | None, repeats: int = 9, rows: Sequence[str] = ()) -> argparse.Namespace:
    """The command line of a benchmark on a CPU of one result file, obeyed: `repeats`, `save`; `only` some of `rows`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--save", action="store_true", help="write results.json beside this file")
    if rows:
        parser.add_argument("--only", nargs="*", choices=rows, help="these rows anew, beside what is stored")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as every training does
    return options


def circumstances(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """What a file of results says of the machine and the command."""
    return {
        "device": cpu_model() if device.type == "cpu" else torch.cuda.get_device_name(),
        "threads": options.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "repeats": options.repeats,
    }


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


def bench(
    module: str,
    description: str | None,
    variants: Callable[[int, torch.device], Makers],
    batch: Mapping[int, int],
    *,
    sampled: tuple[str, ...],
    mac_ratios: Callable[[int], Mapping[str, float]] | None = None,
) -> None:
    """The command line of a step benchmark; the first of `variants(resolution, device)` is what the others compare to.

    `module`: the name it runs under, `python -m module`; `batch`: images a step by resolution; results go beside it.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--resolution", type=int, choices=sorted(batch), nargs="*", default=sorted(batch))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--save", action="store_true", help="write results-<device>.json beside the script")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    if device.type == "cpu":
        keep_freed_memory()  # as every training does
    if options.memory_of:
        print(memory_of(variants(options.resolution[0], device), options.memory_of))
        return
    results = circumstances(options, device)
    for resolution in options.resolution:
        makers = variants(resolution, device)
        taken = times_ms(makers, options.repeats, device, sampled)
        medians = median_ms(taken)
        memory = {name: peak_mib(module, resolution, name, makers, device) for name in taken}
        first, rows = next(iter(taken)), {}
        print(f"{resolution} pixels, batch {batch[resolution]}, {results['device']}, {options.threads} threads")
        for name, values in taken.items():
            ratio, share = medians[name] / medians[first], memory[name] / memory[first]
            spread = {"median": medians[name], "min": min(values), "max": max(values)}
            rows[name] = {**spread, "ratio": ratio, "peak_mib": memory[name], "memory": share}
            macs = ""
            if mac_ratios is not None:
                rows[name]["mac_ratio"] = mac_ratios(resolution)[name]
                macs = f" (MACs {rows[name]['mac_ratio']:.2f} x)"
            print(
                f"  {name:26s} {medians[name]:9.1f} ms ({min(values):.1f} to {max(values):.1f})"
                f"  {ratio:5.2f} x {first}{macs}  peak {memory[name]:7.0f} MiB  {share:5.2f} x"
            )
        results[f"{resolution}px"] = {"batch": batch[resolution], "ms": rows}
    if options.save:
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None
        write_json(Path(spec.origin).with_name(f"results-{device.type}.json"), results)


def high_water_kib() -> int:
    """The process's peak resident memory. (getrusage would count the parent's, from before the exec.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
