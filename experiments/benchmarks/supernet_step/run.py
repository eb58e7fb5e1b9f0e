"""Time and memory of one training step: supernet modes, a plain loop over nine modules, and a plain FBNet-C."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn

from experiments.benchmarks.stepping import Step, median_ms, memory_of, peak_mib, times_ms, training_step
from nas.files import write_json
from nas.gumbel import draw_path, initial_theta
from nas.latency.device import cpu_model
from nas.memory import keep_freed_memory
from nas.network import Network
from nas.supernet import Supernet, mix
from search_spaces import fbnet

HERE = Path(__file__).parent
MODULE = "experiments.benchmarks.supernet_step.run"
BATCH = {32: 32, 224: 8}
CLASSES = 100


def plain_sum(x: Tensor, candidates: nn.ModuleList, plan: object, active: Sequence[int], weights: Tensor) -> Tensor:
    """The mixture as public implementations write it."""
    total: Tensor = sum(weights[i] * candidates[k](x) for i, k in enumerate(active))  # type: ignore[assignment]
    return total


def variants(resolution: int, device: torch.device) -> dict[str, Callable[[], Step]]:
    """Makers of step functions: each call runs forward and backward of the weights and returns the loss."""
    space = fbnet.fbnet(resolution, CLASSES)
    theta = initial_theta([len(position.candidates) for position in space.positions])
    noise = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH[resolution], 3, resolution, resolution, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(BATCH[resolution]).remainder(CLASSES).to(device)

    def supernet(
        mode: str, fused: bool | None = None, channels_last: bool = True, as_published: bool = False
    ) -> Callable[[], Step]:
        def make() -> Step:
            torch.manual_seed(0)
            layout = torch.channels_last if channels_last else torch.contiguous_format
            module = Supernet(space, fused=fused).to(device).to(memory_format=layout)
            x = images.to(device, memory_format=layout)

            def forward() -> Tensor:
                path, _ = draw_path(theta, 5.0, mode, noise, differentiable=False)
                with mock.patch("nas.supernet.mix", plain_sum if as_published else mix):
                    return module(x, path.to(device))

            return training_step(module, forward, labels)

        return make

    def plain() -> Step:
        torch.manual_seed(0)
        geometry = fbnet.geometry_of(resolution)
        names = fbnet.PUBLISHED["fbnetc_100"].blocks.split()
        arch = fbnet.fbnet(resolution, CLASSES, geometry=geometry).decode([fbnet.CANDIDATES.index(n) for n in names])
        module = Network(arch).to(device).to(memory_format=torch.channels_last)
        x = images.to(device, memory_format=torch.channels_last)
        return training_step(module, lambda: module(x), labels)

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
    device = torch.device(options.device)
    if device.type == "cpu":
        keep_freed_memory()  # as every training does
    if options.memory_of:
        print(memory_of(variants(options.resolution[0], device), options.memory_of))
        return
    results: dict[str, object] = {
        "device": cpu_model() if device.type == "cpu" else torch.cuda.get_device_name(),
        "threads": options.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "repeats": options.repeats,
    }
    for resolution in options.resolution:
        makers = variants(resolution, device)
        taken, ratios = times_ms(makers, options.repeats, device, sampled=("hard", "top2")), mac_ratios(resolution)
        medians, rows = median_ms(taken), {}
        print(f"{resolution} pixels, batch {BATCH[resolution]}, {results['device']}, {options.threads} threads")
        for name, values in taken.items():
            ratio = medians[name] / medians["fbnet_c"]
            memory = peak_mib(MODULE, resolution, name, makers, device)
            spread = {"median": medians[name], "min": min(values), "max": max(values)}
            rows[name] = {**spread, "ratio": ratio, "mac_ratio": ratios[name], "peak_mib": memory}
            print(
                f"  {name:26s} {medians[name]:9.1f} ms ({min(values):.1f} to {max(values):.1f})  {ratio:5.2f} x FBNet-C"
                f" (MACs {ratios[name]:.2f} x)  peak {memory:7.0f} MiB"
            )
        results[f"{resolution}px"] = {"batch": BATCH[resolution], "ms": rows}
    if options.save:
        write_json(HERE / f"results-{device.type}.json", results)


if __name__ == "__main__":
    main()
