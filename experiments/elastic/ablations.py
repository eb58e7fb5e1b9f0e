"""What of an elastic supernet's training matters in a short one? One change at a time, the same archs for all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments import records
from experiments.collecting import data_options, data_parser
from experiments.elastic.space import SIZES, Size, space
from experiments.equal_latency import mean_interval
from nas.data.images import ImageData
from nas.data.torchvision import fashion_mnist
from nas.methods.base import Task
from nas.methods.elastic.network import ElasticNetwork
from nas.methods.elastic.pretraining import pretrain
from nas.methods.elastic.sampling import ArchSampler
from nas.methods.elastic.settings import Pretraining
from nas.train import training
from nas.train.accelerator import make_accelerator
from nas.train.averaging import estimate_statistics
from search_spaces.arch import Arch
from search_spaces.space import SearchSpace

SHARES = (0.25, 0.5, 0.75)  # of the reachable multiply-adds, where the archs lie that are looked at
EACH = 2  # archs there
HELD_OUT = 0.1  # of the training images, as in run.py
Change = Callable[[Pretraining], Pretraining]


def _recipe(**values: Any) -> Change:
    return lambda base: replace(base, recipe=replace(base.recipe, **values))


def _settings(**values: Any) -> Change:
    return lambda base: replace(base, **values)


VARIANTS: Mapping[str, Change] = {
    "base": _settings(),
    "labels for half of the loss": _settings(distillation=0.5),
    "labels alone": _settings(distillation=0.0),
    "learning rate doubled": _recipe(lr=0.01),
    "learning rate halved": _recipe(lr=0.0025),
    "batch of 32": _recipe(batch_size=32),
    "no zero start": _recipe(zero_init_residual=False),
    "one random arch": _settings(random=1),
    "no clipping": _recipe(clip_grad=0.0),
    "an update an arch": _settings(updates="arch"),
}


def archs_of(archs: SearchSpace, seed: int) -> dict[str, Arch]:
    """The archs of a seed, the same for every variant: `EACH` at each share, and both ends."""
    cost = archs.count("macs")
    ends = ArchSampler(archs, cost, "latency", 0, 1, seed)
    found = {"smallest": ends.smallest, "largest": ends.largest}
    for share in SHARES:
        sampler = ArchSampler(archs, cost, "latency", share - 0.01, share + 0.01, seed)
        (drawn,) = sampler.draw(0, 0, 1, EACH)
        found.update({f"{share} {i}": arch for i, arch in enumerate(drawn)})
    return found


class Ablations:
    """One size on one data file; `file` holds the records."""

    def __init__(self, root: str, size: str, out: Path) -> None:
        self.size: Size = SIZES[size]
        self.space = space(self.size.resolution)
        self.data: ImageData = fashion_mnist(root, self.size.resolution, self.size.images or None)
        self.out = out / f"ablations-{size}"
        self.out.mkdir(parents=True, exist_ok=True)
        self.file = self.out / "results.jsonl"
        self.found = records.finished(self.file)

    def missing(self, **key: Any) -> bool:
        return not any(all(record[name] == value for name, value in key.items()) for record in self.found)

    def add(self, **record: Any) -> None:
        self.found.append(record)
        records.write(self.file, self.found)
        print(json.dumps(record), flush=True)

    def variant(self, name: str, seed: int) -> None:
        """Train the supernet that way, and evaluate every arch with the weights it inherits."""
        if not self.missing(variant=name, seed=seed):
            return
        began, settings = time.process_time(), VARIANTS[name](replace(self.size.pretraining, updates="step"))
        held_out = self.data.held_out(1 - HELD_OUT, seed)
        checkpoint = self.out / f"{name.replace(' ', '_')}-{seed}.pt"
        cost = self.space.count("macs")
        task = Task(self.space, held_out, cost, None, seed, make_accelerator("cpu"), checkpoint, lambda *_: None)
        network: ElasticNetwork = pretrain(settings, task).network
        minutes = (time.process_time() - began) / 60
        top1 = {}
        for key, arch in archs_of(self.space, seed).items():
            alone = network.extract(arch)
            estimate_statistics(alone, held_out.train, settings.recipe.batch_size, seed)
            top1[key] = training.evaluate(alone, self.data.test)["top1_percent"]
        self.add(variant=name, seed=seed, top1_percent=top1, cpu_minutes=minutes)

    def alone(self, seed: int) -> None:
        """Train every arch alone on the same images, as often."""
        if not self.missing(variant="alone", seed=seed):
            return
        began, top1 = time.process_time(), {}
        data = replace(self.data.held_out(1 - HELD_OUT, seed), test=self.data.test)
        for key, arch in archs_of(self.space, seed).items():
            network = training.build_network(arch, self.size.recipe, seed=seed)
            top1[key] = training.train(network, data, self.size.recipe, seed=seed)["top1_percent"]
        self.add(variant="alone", seed=seed, top1_percent=top1, cpu_minutes=(time.process_time() - began) / 60)


def report(file: Path) -> None:
    """Points of test accuracy below (-) the same archs trained alone, by where they lie; and the difference to base."""
    found = {(r["variant"], r["seed"]): r["top1_percent"] for r in records.read(file)}
    seeds = sorted({seed for name, seed in found if name == "alone"})
    groups = ["smallest", *map(str, SHARES), "largest"]
    print(f"| variant | {' | '.join(groups)} | mean of all | against base | seeds |")
    print("| --- " * (len(groups) + 4) + "|")
    for name in dict.fromkeys(variant for variant, _ in found if variant != "alone"):
        shared = [seed for seed in seeds if (name, seed) in found]
        gaps = [{key: value - found["alone", seed][key] for key, value in found[name, seed].items()} for seed in shared]
        cells = [np.mean([gap for of in gaps for key, gap in of.items() if key.startswith(group)]) for group in groups]
        based = [(seed, gap) for seed, gap in zip(shared, gaps, strict=True) if ("base", seed) in found]
        gains = [float(np.mean([found[name, s][key] - found["base", s][key] for key in gap])) for s, gap in based]
        print(f"| {name} | {' | '.join(f'{cell:+.2f}' for cell in cells)}", end="")
        gain = "{:+.2f} ± {:.2f}".format(*mean_interval(gains)) if len(gains) > 1 else f"{np.mean(gains):+.2f}"
        print(f" | {np.mean([list(gap.values()) for gap in gaps]):+.2f} | {gain} | {len(shared)} |")


def main() -> None:
    parser = data_parser(__doc__, "runs/elastic_experiment")
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    options = data_options(parser)
    if options.report:
        return report(options.report)
    ablations = Ablations(options.data, options.size, options.out)
    for seed in options.seeds:
        ablations.alone(seed)
    for name in options.variants:
        for seed in options.seeds:
            ablations.variant(name, seed)
    report(ablations.file)


if __name__ == "__main__":
    main()
