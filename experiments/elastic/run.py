"""Are inherited weights as good as trained ones, and do their scores rank networks as training does? (see README.md)"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from experiments import records
from experiments.collecting import data_options, data_parser, measured_table
from experiments.elastic.space import SIZES, Size, space
from experiments.equal_latency import mean_interval
from experiments.ranking import tau_with_interval
from nas.data.card import DataSource
from nas.data.images import ImageData
from nas.latency.device import Device
from nas.methods.base import Task
from nas.methods.elastic.inheritance import Inheritance
from nas.methods.elastic.network import ElasticNetwork
from nas.methods.elastic.pretraining import pretrain
from nas.methods.elastic.sampling import ArchSampler
from nas.train import training
from nas.train.accelerator import Compute, make_accelerator
from nas.train.averaging import estimate_statistics
from search_spaces.arch import Arch
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.recipe import Recipe
from search_spaces.space import SearchSpace

BUDGETS = (0.25, 0.5, 0.75)  # of the reachable latency range
SCORED = 48  # archs from which a budget's network is chosen
RANKED, WITHIN = 40, 0.05  # networks of equal latency that are ranked, and how equal
HELD_OUT = 0.1  # of the training images: they score
TUNED = 2  # epochs of fine-tuning
Key = tuple[Any, ...]


class Experiment:
    """One size on one data file; `out` holds table, checkpoints and `results.jsonl`."""

    def __init__(self, root: str, out: Path, size: str) -> None:
        self.arguments = (root, out, size)
        self.size: Size = SIZES[size]
        self.out = out / size
        self.out.mkdir(parents=True, exist_ok=True)
        self.space: SearchSpace = space(self.size.resolution)
        card = {"_target_": "nas.data.torchvision.fashion_mnist", "root": root, "resolution": self.size.resolution}
        self.source = DataSource({**card, **({"train_limit": self.size.images} if self.size.images else {})})
        self.data: ImageData = self.source.load()
        table = measured_table(self.space, Device(), self.out)
        self.cost: AdditiveCost = table.cost(self.space)
        self.file = self.out / "results.jsonl"
        self.found = records.finished(self.file)

    def once(self, key: dict[str, Any]) -> bool:
        """Whether the piece `key` is still to be done."""
        return not any(all(record.get(name) == value for name, value in key.items()) for record in self.found)

    def add(self, record: dict[str, Any]) -> None:
        self.found.append(record)
        records.write(self.file, self.found)
        print(json.dumps({name: value for name, value in record.items() if name != "arch"}), flush=True)

    def supernet(self, seed: int) -> ElasticNetwork:
        """Trained on all images but the held-out ones; continued where it was interrupted."""
        began = time.process_time()
        task = Task(
            self.space,
            self.data.held_out(1 - HELD_OUT, seed),
            self.cost,
            None,
            seed,
            make_accelerator("cpu"),
            self.out / f"supernet-{seed}.pt",
            lambda epoch, record: print(epoch, {k: round(v, 3) for k, v in record.items()}, flush=True),
        )
        network = pretrain(self.size.pretraining, task).network
        if self.once({"kind": "pretraining", "seed": seed}):
            self.add({"kind": "pretraining", "seed": seed, "cpu_minutes": (time.process_time() - began) / 60})
        return network

    def alone(self, arch: Arch, seed: int, epochs: int | None = None, start: Any = None) -> dict[str, float]:
        """`arch` trained on what the supernet was trained on; `start`: from the weights of that network."""
        began = time.process_time()
        recipe: Recipe = self.size.recipe if epochs is None else _shorter(self.size.recipe, epochs)
        network = training.build_network(arch, recipe, seed=seed) if start is None else start
        data = self.data.held_out(1 - HELD_OUT, seed)
        figures = training.train(network, _tested_on(data, self.data), recipe, seed=seed)
        return {"top1_percent": figures["top1_percent"], "cpu_minutes": (time.process_time() - began) / 60}

    def score(self, supernet: ElasticNetwork, arch: Arch, seed: int) -> dict[str, float]:
        """Accuracy and cross-entropy on the held-out images with inherited weights."""
        data, network = self.data.held_out(1 - HELD_OUT, seed), supernet.extract(arch)
        estimate_statistics(network, data.train, self.size.batch_size, seed, 2048)
        return training.evaluate(network, data.test)

    def near(self, share: float, count: int, seed: int) -> Iterator[tuple[Arch, float]]:
        """Different archs whose latency is within `WITHIN` of the point `share` of the reachable range, and that."""
        low, high = self.cost.reachable()
        target, seen = low + share * (high - low), set[str]()
        width = WITHIN * target / (high - low)
        sampler = ArchSampler(self.space, self.cost, "latency", max(share - width, 0), min(share + width, 1), seed)
        for step in range(100 * count):
            for (arch,) in sampler.draw(step // 50, step, 1):
                ms = float(self.cost(np.array([self.space.encode(arch)]))[0])
                if arch.id not in seen and abs(ms / target - 1) <= WITHIN:
                    seen.add(arch.id)
                    yield arch, ms
                if len(seen) == count:
                    return

    def budgets(self, seed: int, shares: tuple[float, ...] = BUDGETS) -> None:
        """At each budget the best-scored arch: inherited, fine-tuned, and trained alone."""
        if all(not self.once({"kind": "budget", "seed": seed, "share": share}) for share in shares):
            return
        supernet = self.supernet(seed)
        inherit = Inheritance(
            lambda genes: self.space.decode(genes), supernet, self.source, self.size.batch_size, seed, Compute("cpu")
        )
        for share in shares:
            if not self.once({"kind": "budget", "seed": seed, "share": share}):
                continue
            archs = [arch for arch, _ in self.near(share, SCORED, seed)]
            best = max(archs, key=lambda arch: self.score(supernet, arch, seed)["top1_percent"])
            genes = self.space.encode(best)
            inherited = training.evaluate(inherit(genes), self.data.test)["top1_percent"]
            tuned = self.alone(best, seed, TUNED, inherit(genes))
            alone = self.alone(best, seed)
            self.add(
                {
                    "kind": "budget",
                    "seed": seed,
                    "share": share,
                    "arch": best.to_dict(),
                    "macs": best.macs,
                    "inherited": inherited,
                    "tuned": tuned["top1_percent"],
                    "alone": alone["top1_percent"],
                    "alone_cpu_minutes": alone["cpu_minutes"],
                }
            )

    def ranking(self, seed: int, count: int, again: int, processes: int) -> None:
        """Networks of equal latency: the scores of all of them, each trained alone, and the first `again` of them alone
        with another seed: what one training says of another is the most that a score can say."""
        archs = list(self.near(0.5, count, 1000 + seed))
        supernet: ElasticNetwork | None = None
        for i, (arch, ms) in enumerate(archs):
            if not self.once({"kind": "scored", "seed": seed, "number": i}):
                continue
            supernet = supernet or self.supernet(seed)
            score = self.score(supernet, arch, seed)
            record = {"kind": "scored", "seed": seed, "number": i, "arch": arch.id, "latency_ms": ms}
            scored = {"score": score["top1_percent"], "score_loss": score["loss"]}
            self.add(
                {**record, "genotype": self.space.encode(arch), "macs": arch.macs, "params": arch.params, **scored}
            )
        scored_ones = [r for r in self.found if r["kind"] == "scored" and r["seed"] == seed]
        jobs = [({**r, "kind": "ranked"}, seed) for r in scored_ones]
        jobs += [({**r, "kind": "again"}, seed + 1) for r in scored_ones[:again]]
        left = [job for job in jobs if self.once({key: job[0][key] for key in ("kind", "seed", "number")})]
        if not left:
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(processes, len(left)), mp_context=context) as pool:
            under_way = {pool.submit(_alone, self.arguments, r["genotype"], of_seed): r for r, of_seed in left}
            for job in as_completed(under_way):
                self.add({**under_way[job], **job.result()})


def _alone(arguments: tuple[str, Path, str], genotype: list[int], seed: int) -> dict[str, float]:
    """One training of the ranking, in a process of its own."""
    experiment = Experiment(*arguments)
    return experiment.alone(experiment.space.decode(genotype), seed)


def _shorter(recipe: Recipe, epochs: int) -> Recipe:
    """Fine-tuning: a fifth of the learning rate, the same batches."""
    values = {**recipe.to_dict(), "epochs": epochs, "lr": recipe.lr / 5, "zero_init_residual": False}
    return Recipe.from_dict(values)


def _gain(values: list[float]) -> str:
    """Points, with the 95% interval of the mean where there are several seeds."""
    if len(values) < 2:
        return f"{values[0]:+.2f}"
    mean, half = mean_interval(values)
    return f"{mean:+.2f} ± {half:.2f}"


def _tested_on(data: ImageData, whole: ImageData) -> ImageData:
    """The training images of `data` with the test images of `whole`."""
    return dataclasses.replace(data, test=whole.test)


def report(file: Path) -> None:
    """The tables of `results.jsonl`."""
    found = records.read(file)
    print("| budget (share of the range) | inherited - alone | fine-tuned - alone | alone | seeds |")
    print("| --- | --- | --- | --- | --- |")
    for share in BUDGETS:
        rows = [r for r in found if r["kind"] == "budget" and r["share"] == share]
        if rows:
            inherited, tuned = ([r[name] - r["alone"] for r in rows] for name in ("inherited", "tuned"))
            mean = np.mean([r["alone"] for r in rows])
            gains = (_gain(values) for values in (inherited, tuned))
            print(f"| {share} | {' | '.join(gains)} | {mean:.2f} | {len(rows)} |")
    ranked = [r for r in found if r["kind"] == "ranked"]
    if len(ranked) > 2:
        alone = [r["top1_percent"] for r in ranked]
        print(
            f"{len(ranked)} networks of equal latency, {min(alone):.2f} to {max(alone):.2f}% alone (deviation ", end=""
        )
        print(f"{np.std(alone, ddof=1):.2f}). Kendall's tau with that, and its 95% interval over networks:")
        for key, sign in (("score", 1), ("score_loss", -1), ("macs", 1), ("params", 1), ("latency_ms", 1)):
            if key in ranked[0]:
                print(f"  {key}: {tau_with_interval([sign * r[key] for r in ranked], alone)}")
    again = {r["number"]: r["top1_percent"] for r in found if r["kind"] == "again"}
    if len(again) > 2:
        both = [(again[r["number"]], r["top1_percent"]) for r in ranked if r["number"] in again]
        print(f"  another training alone, {len(both)} of them: {tau_with_interval(*zip(*both, strict=True))}")
    minutes = sum(r["cpu_minutes"] for r in found if r["kind"] == "pretraining")
    print(f"pretraining: {minutes:.1f} processor minutes in all")


def main() -> None:
    parser = data_parser(__doc__, "runs/elastic_experiment")
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first; a process for every seed has its own --out")
    parser.add_argument("--ranked", type=int, default=RANKED, help="networks that are ranked, of the first seed")
    parser.add_argument("--again", type=int, default=0, help="of these, trained alone a second time")
    parser.add_argument("--budgets", type=int, default=len(BUDGETS), help="0: the ranking alone")
    parser.add_argument("--processes", type=int, default=1, help="trainings of the ranking at a time")
    options = data_options(parser)
    if options.report:
        return report(options.report)
    experiment = Experiment(options.data, options.out, options.size)
    for seed in range(options.first, options.first + options.seeds):
        experiment.budgets(seed, BUDGETS[: options.budgets])
        if not seed:
            experiment.ranking(seed, options.ranked, options.again, options.processes)
    report(experiment.file)


if __name__ == "__main__":
    main()
