"""Time of one training step under channel masks, beside the plain widest network of the same space."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import torch

from experiments.benchmarks.stepping import (
    Step,
    circumstances,
    cpu_options,
    images_and_labels,
    masked_step,
    median_ms,
    times_ms,
    training_step,
)
from nas.methods.supernets.masked_plan import masked_plan
from nas.networks.network import build_network
from nas.runs.files import write_json
from search_spaces.families.mobilenetv2.space import mobilenetv2
from search_spaces.families.rexnet.space import rexnet
from search_spaces.space import SearchSpace

HERE = Path(__file__).parent
BATCH, CLASSES, PIXELS = 32, 10, 32
SPACES: dict[str, Callable[[], SearchSpace]] = {
    "mobilenetv2": lambda: mobilenetv2(32, CLASSES, 3, kernels=(3,), expansions=(6,), depths=(1,)),
    "rexnet": lambda: rexnet(32, CLASSES, 3),
    "rexnet, free": lambda: rexnet(32, CLASSES, 3, channels="free", divisor=8),
}


def variants(space: SearchSpace) -> dict[str, Callable[[], Step]]:
    """Makers of step functions: `plain`, the widest network; `weights` and `theta`, the two steps of a search."""
    images, labels = images_and_labels(BATCH, PIXELS, CLASSES)

    def plain() -> Step:
        torch.manual_seed(0)
        module = build_network(masked_plan(space).widest).to(memory_format=torch.channels_last).train()
        return training_step(module, lambda: module(images), labels)

    masked = {
        name: functools.partial(masked_step, space, learn_theta, images, labels)
        for name, learn_theta in (("weights", False), ("theta", True))
    }
    return {"plain": plain, **masked}


def main() -> None:
    options, device = cpu_options(__doc__), torch.device("cpu")
    results = {**circumstances(options, device), "batch": BATCH}
    for name, make in SPACES.items():
        taken = times_ms(variants(make()), options.repeats, device, sampled=())
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
