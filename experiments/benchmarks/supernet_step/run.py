"""Time and memory of one training step: supernet modes, a plain loop over nine modules, and a plain FBNet-C."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.files import write_json
from nas.gumbel import draw_path, initial_theta
from nas.latency.device import cpu_model
from nas.memory import keep_freed_memory
from nas.network import Network
from nas.supernet import Supernet, mix
from search_spaces import fbnet

HERE = Path(__file__).parent
BATCH = {32: 32, 224: 8}
CLASSES = 100


def plain_sum(x: Tensor, candidates: nn.ModuleList, plan: object, active: Sequence[int], weights: Tensor) -> Tensor:
    """The mixture as public implementations write it."""
    total: Tensor = sum(weights[i] * candidates[k](x) for i, k in enumerate(active))  # type: ignore[assignment]
    return total


def variants(resolution: int, device: torch.device) -> dict[str, Callable[[], Callable[[], Tensor]]]:
    """Makers of step functions: each call runs forward and backward of the weights and returns the loss."""
    space = fbnet.fbnet(resolution, CLASSES)
    theta = initial_theta([len(position.candidates) for position in space.positions])
    noise = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH[resolution], 3, resolution, resolution, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(BATCH[resolution]).remainder(CLASSES).to(device)
    bf16 = device.type == "cuda"

    def step(module: nn.Module, forward: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                logits = forward()
            loss = F.cross_entropy(logits.float(), labels)
            loss.backward()
            module.zero_grad()
            return loss.detach()

        return run

    def supernet(
        mode: str, fused: bool | None = None, channels_last: bool = True, as_published: bool = False
    ) -> Callable[[], Callable[[], Tensor]]:
        def make() -> Callable[[], Tensor]:
            torch.manual_seed(0)
            layout = torch.channels_last if channels_last else torch.contiguous_format
            module = Supernet(space, fused=fused).to(device).to(memory_format=layout)
            x = images.to(device, memory_format=layout)

            def forward() -> Tensor:
                path, _ = draw_path(theta, 5.0, mode, noise, differentiable=False)
                with mock.patch("nas.supernet.mix", plain_sum if as_published else mix):
                    return module(x, path.to(device))

            return step(module, forward)

        return make

    def plain() -> Callable[[], Tensor]:
        torch.manual_seed(0)
        geometry = fbnet.geometry_of(resolution)
        names = fbnet.PUBLISHED["fbnetc_100"].blocks.split()
        arch = fbnet.fbnet(resolution, CLASSES, geometry=geometry).decode([fbnet.CANDIDATES.index(n) for n in names])
        module = Network(arch).to(device).to(memory_format=torch.channels_last)
        x = images.to(device, memory_format=torch.channels_last)
        return step(module, lambda: module(x))

    return {
        "fbnet_c": plain,
        "soft": supernet("soft"),
        "soft_the_other_form": supernet("soft", fused=device.type != "cuda"),
        "top2": supernet("top2"),
        "hard": supernet("hard"),
        "plain_loop": supernet("soft", fused=False, channels_last=False, as_published=True),
        "plain_loop_channels_last": supernet("soft", fused=False, as_published=True),
    }


def mac_ratios(resolution: int) -> dict[str, float]:
    """Multiply-adds of each variant over those of FBNet-C; hard and top2 on average over uniform paths."""
    space = fbnet.fbnet(resolution, CLASSES)
    fixed, rows = space.rows(lambda layer, shape: layer.cost(shape).macs)
    names = fbnet.PUBLISHED["fbnetc_100"].blocks.split()
    plain = space.decode([fbnet.CANDIDATES.index(n) for n in names]).macs
    everything = (fixed + sum(row.sum() for row in rows)) / plain
    one = sum(row.mean() for row in rows)
    return {
        "fbnet_c": 1.0,
        "soft": everything,
        "soft_the_other_form": everything,
        "top2": (fixed + 2 * one) / plain,
        "hard": (fixed + one) / plain,
        "plain_loop": everything,
        "plain_loop_channels_last": everything,
    }


def times_ms(resolution: int, repeats: int, device: torch.device) -> dict[str, dict[str, float]]:
    """Interleaved step times: median, smallest and largest of `repeats`, after two steps of warm-up each."""
    steps = {name: make() for name, make in variants(resolution, device).items()}
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 2):
        for name, step in steps.items():
            # a mode that samples is timed over several paths
            count = 4 if name in ("hard", "top2") else 1
            if device.type == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            for _ in range(count):
                step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn >= 2:
                taken[name].append(1e3 * (time.perf_counter() - began) / count)
    return {
        name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
        for name, values in taken.items()
    }


def peak_mib(resolution: int, name: str, device: torch.device) -> float:
    """Peak memory of three steps above that of the built network, in a process of its own (CPU) or as CUDA counts."""
    if device.type == "cuda":
        step = variants(resolution, device)[name]()
        torch.cuda.reset_peak_memory_stats()
        for _ in range(3):
            step()
        return torch.cuda.max_memory_allocated() / 2**20
    command = [sys.executable, __file__, "--memory-of", name, "--resolution", str(resolution)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def memory_of(resolution: int, name: str) -> float:
    step = variants(resolution, torch.device("cpu"))[name]()
    before = high_water_kib()
    for _ in range(3):
        step()
    return (high_water_kib() - before) / 1024


def high_water_kib() -> int:
    """The process's peak resident memory. (getrusage would count the parent's, from before the exec.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, choices=sorted(BATCH), nargs="*", default=sorted(BATCH))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--save", action="store_true", help="write results-<device>.json beside this file")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print(memory_of(options.resolution[0], options.memory_of))
        return
    device = torch.device(options.device)
    if device.type == "cpu":
        keep_freed_memory()  # as every training does
    results: dict[str, object] = {
        "device": cpu_model() if device.type == "cpu" else torch.cuda.get_device_name(),
        "threads": options.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "repeats": options.repeats,
    }
    for resolution in options.resolution:
        times, ratios = times_ms(resolution, options.repeats, device), mac_ratios(resolution)
        rows = {}
        print(f"{resolution} pixels, batch {BATCH[resolution]}, {results['device']}, {options.threads} threads")
        for name, taken in times.items():
            ratio = taken["median"] / times["fbnet_c"]["median"]
            memory = peak_mib(resolution, name, device)
            rows[name] = {**taken, "ratio": ratio, "mac_ratio": ratios[name], "peak_mib": memory}
            spread = f"({taken['min']:.1f} to {taken['max']:.1f})"
            print(
                f"  {name:26s} {taken['median']:9.1f} ms {spread}  {ratio:5.2f} x FBNet-C (MACs {ratios[name]:.2f} x)"
                f"  peak {memory:7.0f} MiB"
            )
        results[f"{resolution}px"] = {"batch": BATCH[resolution], "ms": rows}
    if options.save:
        write_json(HERE / f"results-{device.type}.json", results)


if __name__ == "__main__":
    main()
