"""Time and memory of a training step of a view of an elastic supernet, beside the stand-alone network of its arch."""

from __future__ import annotations

import argparse
import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from experiments.benchmarks.stepping import (
    Step,
    circumstances,
    cpu_options,
    images_and_labels,
    memory_of,
    training_step,
)
from nas.methods.elastic.network import ElasticNetwork
from nas.networks.network import build_network
from nas.runs.files import write_json
from nas.runs.memory import keep_freed_memory
from search_spaces.arch import Arch
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.families.mobile.space import mobile
from search_spaces.families.mobilenetv2.space import mobilenetv2
from search_spaces.families.rexnet.space import rexnet
from search_spaces.families.single_path import single_path
from search_spaces.space import SearchSpace

PIXELS, BATCH, CLASSES = 32, 32, 10
SPACES: dict[str, Callable[..., SearchSpace]] = {
    "single_path": functools.partial(single_path, width=0.5),
    "mobilenetv2": mobilenetv2,
    "rexnet": rexnet,
    "fbnetv3": fbnetv3,
    "mobile": mobile,
}
ARCHS = ("smallest", "median", "largest")


def arch_of(space: SearchSpace, which: str) -> Arch:
    """The smallest or largest arch by multiply-adds, or the median of 101 random ones."""
    cost = space.count("macs")
    if which != "median":
        return space.decode(cost.cheapest() if which == "smallest" else cost.most_expensive())
    drawn = space.sample(101, np.random.default_rng(0))
    return space.decode(drawn[np.argsort(cost(drawn))[50]])


def makers(name: str, which: str) -> dict[str, Callable[[], Step]]:
    """Makers of the two steps: forward, backward and nothing else, in channels last."""
    space = SPACES[name](PIXELS, CLASSES, 3)
    arch = arch_of(space, which)
    images, labels = images_and_labels(BATCH, PIXELS, CLASSES)

    def alone() -> Step:
        network = build_network(arch).to(memory_format=torch.channels_last).train()
        return training_step(network, lambda: network(images), labels)

    def view() -> Step:
        network = ElasticNetwork(space).to(memory_format=torch.channels_last).train()
        return training_step(network, lambda: network(images, arch), labels)

    return {"alone": alone, "view": view}


def cpu_ms(steps: dict[str, Callable[[], Step]], repeats: int) -> dict[str, list[float]]:
    """Processor time of each step, in turn, behind one of warm-up: one thread's is what others disturb least."""
    made = {name: make() for name, make in steps.items()}
    taken: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(repeats + 1):
        for name, step in made.items():
            began = time.process_time()
            step()
            if turn:
                taken[name].append(1e3 * (time.process_time() - began))
    return taken


def peaks_mib(name: str, which: str) -> dict[str, float]:
    """What three steps of each add to the peak of a process of its own that has built it."""
    return {
        step: float(subprocess.run([*_COMMAND, name, which, step], capture_output=True, text=True, check=True).stdout)
        for step in ("alone", "view")
    }


_COMMAND = (sys.executable, "-m", "experiments.benchmarks.elastic_step.run", "--memory-of")


def main() -> None:
    if sys.argv[1:2] == ["--memory-of"]:
        torch.set_num_threads(1)
        keep_freed_memory()
        print(memory_of(makers(*sys.argv[2:4]), sys.argv[4]))
        return
    options: argparse.Namespace = cpu_options(__doc__)
    device, rows = torch.device("cpu"), {}
    for name in SPACES:
        for which in ARCHS:
            steps = makers(name, which)
            taken = cpu_ms(steps, options.repeats)
            ratios = sorted(v / a for v, a in zip(taken["view"], taken["alone"], strict=True))
            peaks = peaks_mib(name, which)
            rows[f"{name} {which}"] = {
                "alone_ms": statistics.median(taken["alone"]),
                "view_ms": statistics.median(taken["view"]),
                "ratio": statistics.median(ratios),
                "ratio_quartiles": [ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]],
                "of_fastest": min(taken["view"]) / min(taken["alone"]),
                "alone_mib": peaks["alone"],
                "view_mib": peaks["view"],
                "macs": arch_of(SPACES[name](PIXELS, CLASSES, 3), which).macs,
            }
            print(f"{name} {which}: {rows[f'{name} {which}']}", flush=True)
    if options.save:
        path = Path(__file__).with_name("results-cpu.json")
        write_json(path, {**circumstances(options, device), "pixels": PIXELS, "batch": BATCH, "steps": rows})


if __name__ == "__main__":
    main()
