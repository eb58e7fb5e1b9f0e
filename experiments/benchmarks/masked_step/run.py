"""Time of one training step under channel masks, beside the plain widest network of the same space."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from experiments.benchmarks.stepping import Step, median_ms, times_ms, training_step
from nas.methods.supernets.channel_masks import MaskedNetwork
from nas.methods.supernets.paths import draw_path, initial_theta
from nas.networks.network import build_network
from nas.runs.files import write_json
from nas.runs.machine import cpu_model
from nas.runs.memory import keep_freed_memory
from search_spaces.families.mobilenetv2.space import mobilenetv2
from search_spaces.families.rexnet.space import rexnet
from search_spaces.space import SearchSpace

HERE = Path(__file__).parent
BATCH, CLASSES = 32, 10
SPACES: dict[str, Callable[[], SearchSpace]] = {
    "mobilenetv2": lambda: mobilenetv2(32, CLASSES, 3, kernels=(3,), expansions=(6,), depths=(1,)),
    "rexnet": lambda: rexnet(32, CLASSES, 3),
    "rexnet, free": lambda: rexnet(32, CLASSES, 3, channels="free", divisor=8),
}


def variants(space: SearchSpace) -> dict[str, Callable[[], Step]]:
    """Makers of step functions: `plain`, the widest network; `weights` and `theta`, the two steps of a search."""
    images = torch.randn(BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(BATCH).remainder(CLASSES)
    noise = torch.Generator().manual_seed(0)

    def ready(module: nn.Module) -> nn.Module:
        return module.to(memory_format=torch.channels_last).train()

    def plain() -> Step:
        torch.manual_seed(0)
        module = build_network(MaskedNetwork(space).plan.widest)
        ready(module)
        return training_step(module, lambda: module(images), labels)

    def masked(learn_theta: bool) -> Callable[[], Step]:
        def make() -> Step:
            torch.manual_seed(0)
            module = MaskedNetwork(space)
            ready(module)
            theta = initial_theta([len(variable) for variable in space.variables]).requires_grad_(learn_theta)
            for parameter in module.parameters():
                parameter.requires_grad_(not learn_theta)

            def forward() -> torch.Tensor:
                path, _ = draw_path(theta, 5.0, "soft", noise, differentiable=learn_theta)
                return module(images, [row for row in path.weights if row is not None])

            return training_step(module, forward, labels)

        return make

    return {"plain": plain, "weights": masked(False), "theta": masked(True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--save", action="store_true", help="write results.json beside this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as every training does
    results: dict[str, object] = {
        "device": cpu_model(),
        "threads": options.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "repeats": options.repeats,
        "batch": BATCH,
    }
    for name, make in SPACES.items():
        taken = times_ms(variants(make()), options.repeats, torch.device("cpu"), sampled=())
        medians = median_ms(taken)
        rows = {}
        for kind, values in taken.items():
            ratio = medians[kind] / medians["plain"]
            rows[kind] = {"median_ms": medians[kind], "min_ms": min(values), "max_ms": max(values), "ratio": ratio}
            print(
                f"{name:14s} {kind:8s} {medians[kind]:8.1f} ms ({min(values):.1f} to {max(values):.1f}) {ratio:5.2f} x",
                flush=True,
            )
        results[name] = rows
    if options.save:
        write_json(HERE / "results.json", results)


if __name__ == "__main__":
    main()
