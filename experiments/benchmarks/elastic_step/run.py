"""Time and memory of a training step of a view of an elastic supernet, beside the stand-alone network of its arch."""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.benchmarks.stepping import WARM_UP, circumstances, cpu_options, images_and_labels, memory_of
from nas.methods.elastic.network import ElasticNetwork
from nas.networks.network import build_network
from nas.runs.files import read_json, write_json
from nas.runs.memory import keep_freed_memory
from search_spaces.arch import Arch
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.families.mobile.space import mobile
from search_spaces.families.mobilenetv2.space import mobilenetv2
from search_spaces.families.rexnet.space import rexnet
from search_spaces.families.single_path import single_path
from search_spaces.space import SearchSpace

PIXELS, BATCH, CLASSES, SEEDS = 32, 32, 10, 3
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


class Stepper(NamedTuple):
    """`step`: forward and backward; `clear`: drop the gradients."""

    step: Callable[[], None]
    clear: Callable[[], None]

    def __call__(self) -> Tensor:
        self.step()
        self.clear()
        return torch.zeros(())


def stepper(network: nn.Module, forward: Callable[[], Tensor], labels: Tensor) -> Stepper:
    parameters = list(network.parameters())

    def clear() -> None:
        for parameter in parameters:
            parameter.grad = None

    return Stepper(lambda: F.cross_entropy(forward(), labels).backward(), clear)


def makers(name: str, which: str, seed: int = 0) -> dict[str, Callable[[], Stepper]]:
    """Makers of the two steps, in channels last: of the stand-alone network and of the view."""
    space = SPACES[name](PIXELS, CLASSES, 3)
    arch = arch_of(space, which)
    images, labels = images_and_labels(BATCH, PIXELS, CLASSES)

    def alone() -> Stepper:
        torch.manual_seed(seed)
        network = build_network(arch).to(memory_format=torch.channels_last).train()
        return stepper(network, lambda: network(images), labels)

    def view() -> Stepper:
        torch.manual_seed(seed)
        network = ElasticNetwork(space).to(memory_format=torch.channels_last).train()
        return stepper(network, lambda: network(images, arch), labels)

    return {"alone": alone, "view": view}


def cpu_ms(steps: Mapping[str, Callable[[], Stepper]], repeats: int) -> dict[str, list[float]]:
    """Processor time of each step, in turn, behind `WARM_UP`: one thread's is what others disturb least.

    Gradients are dropped outside of the time: a training does that once for all archs of a step, and for a supernet it
    walks over the weights of every arch.
    """
    made = {name: make() for name, make in steps.items()}
    taken: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(repeats + WARM_UP):
        for name, stepper in made.items():
            began = time.process_time()
            stepper.step()
            spent = time.process_time() - began
            stepper.clear()
            if turn >= WARM_UP:
                taken[name].append(1e3 * spent)
    return taken


def seeds_ms(name: str, which: str, repeats: int) -> list[dict[str, float]]:
    """Of every seed: the median of each step's milliseconds. Small archs take more turns, up to two seconds' worth."""
    found = []
    for seed in range(SEEDS):
        steps = makers(name, which, seed)
        quick = statistics.median(cpu_ms(steps, 1)["alone"])
        turns = max(repeats, min(int(2000 / quick), 50))
        found.append({step: statistics.median(ms) for step, ms in cpu_ms(steps, turns).items()})
    return found


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
    options: argparse.Namespace = cpu_options(__doc__, rows=[f"{name} {which}" for name in SPACES for which in ARCHS])
    device, path = torch.device("cpu"), Path(__file__).with_name("results-cpu.json")
    rows: dict[str, dict[str, Any]] = read_json(path, "the results")["steps"] if options.only else {}
    for name in SPACES:
        for which in ARCHS:
            if options.only and f"{name} {which}" not in options.only:
                continue
            seeds = seeds_ms(name, which, options.repeats)
            ratios = sorted(ms["view"] / ms["alone"] for ms in seeds)
            peaks = peaks_mib(name, which)
            rows[f"{name} {which}"] = {
                "alone_ms": statistics.median(ms["alone"] for ms in seeds),
                "view_ms": statistics.median(ms["view"] for ms in seeds),
                "ratio": statistics.median(ratios),
                "ratios": ratios,
                "alone_mib": peaks["alone"],
                "view_mib": peaks["view"],
                "macs": arch_of(SPACES[name](PIXELS, CLASSES, 3), which).macs,
                "load": os.getloadavg()[0],
            }
            print(f"{name} {which}: {rows[f'{name} {which}']}", flush=True)
    if options.save:
        write_json(path, {**circumstances(options, device), "pixels": PIXELS, "batch": BATCH, "steps": rows})


if __name__ == "__main__":
    main()
