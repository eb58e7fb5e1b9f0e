"""Images a second in training and evaluation: eager, compiled, fp32, bf16, beside the machine's matrix products."""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments import records
from experiments.benchmarks.stepping import circumstances, images_and_labels
from nas.methods.elastic.network import ElasticNetwork
from nas.methods.supernets.mixture import PathWeights, Supernet
from nas.methods.supernets.paths import draw_path, initial_theta
from nas.networks.network import build_network
from nas.runs.files import read_json, write_json
from nas.runs.memory import keep_freed_memory
from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.families.fbnet import fbnet
from search_spaces.families.mobile.space import mobile

FOUND = Path(__file__).parents[2] / "wins" / "results-10k.jsonl"
CLASSES, LARGEST = 10, 2048  # LARGEST: rows and columns of the matrices multiplied
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
WAYS = tuple((way, precision) for precision in PRECISIONS for way in ("eager", "compiled"))
WARM_UP, LEAST_SECONDS = 3, 0.3  # steps before times are taken; seconds of a visit


class Subject(NamedTuple):
    """A module, how it is called, images of a batch, multiply-adds of an image, and whether it is compiled too."""

    module: nn.Module
    call: Callable[[nn.Module, Tensor], Tensor]
    images: Tensor
    macs: float
    compiles: bool


def plain(arch: Arch, batch: int) -> Subject:
    """A network as it is handed over."""
    images, _ = images_and_labels(batch, int(arch.resolution), CLASSES)
    images = images[:, : arch.in_channels].contiguous(memory_format=torch.channels_last)
    return Subject(build_network(arch), lambda module, x: module(x), images, arch.macs, True)


def found() -> Arch:
    """The network that the first search of `experiments/wins` found."""
    networks = [r for r in records.read(FOUND) if r["kind"] == "network" and r["name"] == "found"]
    return Arch.from_dict(networks[0]["arch"])


def supernet(mode: str, batch: int) -> Subject:
    """FBNet's supernet at 32 pixels, at a path drawn anew each step; the multiply-adds are those executed."""
    space = fbnet(32, CLASSES)
    theta, noise = initial_theta([len(p.candidates) for p in space.positions]), torch.Generator().manual_seed(0)
    images, _ = images_and_labels(batch, 32, CLASSES)
    macs = space.count("macs")
    executed = macs.fixed + sum(row.sum() if mode == "soft" else row.mean() for row in macs.rows)

    def call(module: nn.Module, x: Tensor) -> Tensor:
        path: PathWeights = draw_path(theta, 5.0, mode, noise, differentiable=False)[0].to(x.device)
        logits: Tensor = module(x, path)
        return logits

    return Subject(Supernet(space), call, images, float(executed), False)


def elastic(batch: int) -> Subject:
    """The largest view of the recommended space's elastic supernet."""
    space = mobile(32, CLASSES, 3)
    arch = space.decode(space.count("macs").most_expensive())
    images, _ = images_and_labels(batch, 32, CLASSES)
    return Subject(ElasticNetwork(space), lambda module, x: module(x, arch), images, arch.macs, False)


SUBJECTS: dict[str, Callable[[bool], Subject]] = {  # by name; whether batches are those of a GPU
    "fbnetc_100, 224 pixels": lambda gpu: plain(zoo.published("fbnetc_100", CLASSES), 256 if gpu else 8),
    "found, 32 pixels": lambda gpu: plain(found(), 4096 if gpu else 64),
    "fbnet's supernet, soft": lambda gpu: supernet("soft", 512 if gpu else 32),
    "fbnet's supernet, hard": lambda gpu: supernet("hard", 512 if gpu else 32),
    "elastic supernet of mobile": lambda gpu: elastic(512 if gpu else 32),
}


def synchronised(device: torch.device) -> float:
    """Seconds of a clock, when all work of `device` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds_of(step: Callable[[], object], device: torch.device, repeats: int) -> list[float]:
    """Seconds of a step: means of `repeats` visits that last `LEAST_SECONDS` at least."""
    for _ in range(WARM_UP):
        step()
    began = synchronised(device)
    step()
    count = max(1, round(LEAST_SECONDS / max(synchronised(device) - began, 1e-6)))
    taken = []
    for _ in range(repeats):
        began = synchronised(device)
        for _ in range(count):
            step()
        taken.append((synchronised(device) - began) / count)
    return taken


def product_rate(device: torch.device, dtype: torch.dtype, repeats: int) -> float:
    """Multiply-adds a second of a large matrix product: what this machine reaches in `dtype`."""
    a, b = (torch.randn(LARGEST, LARGEST, device=device, dtype=dtype) for _ in range(2))
    return float(LARGEST**3 / min(seconds_of(lambda: a @ b, device, repeats)))


def steps(subject: Subject, way: str, precision: str, device: torch.device) -> dict[str, Callable[[], object]]:
    """A training step (forward, loss, backward, SGD) and an evaluation of one batch."""
    module = subject.module.to(device).to(memory_format=torch.channels_last)
    runs: nn.Module = torch.compile(module, dynamic=False) if way == "compiled" else module  # type: ignore[assignment]
    images = subject.images.to(device, memory_format=torch.channels_last)
    labels = torch.arange(len(images), device=device).remainder(CLASSES)
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-4)

    def logits() -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            return subject.call(runs, images)

    def train() -> object:
        F.cross_entropy(logits().float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        return None

    def evaluate() -> object:
        with torch.inference_mode():
            return logits()

    return {"train": train, "evaluate": evaluate}


def rows(subject: Subject, device: torch.device, repeats: int, rates: dict[str, float]) -> list[dict[str, Any]]:
    """Of each way and precision: images a second, and the share of the rate of matrix products that they stand for.

    An image takes its multiply-adds once in evaluation and three times in training (forward, and backward to inputs
    and weights).
    """
    made = []
    for way, precision in WAYS:
        if way == "compiled" and not subject.compiles:
            continue
        torch.compiler.reset()
        began = time.perf_counter()
        both = steps(subject, way, precision, device)
        for what, passes in (("train", 3), ("evaluate", 1)):
            subject.module.train(what == "train")
            taken = seconds_of(both[what], device, repeats)
            rate = len(subject.images) / statistics.median(taken)
            made.append(
                {
                    "what": what,
                    "way": way,
                    "precision": precision,
                    "batch": len(subject.images),
                    "images_per_second": rate,
                    "range": [len(subject.images) / seconds for seconds in (max(taken), min(taken))],
                    "share_of_products": rate * passes * subject.macs / rates[precision],
                    "seconds_in_all": time.perf_counter() - began,
                }
            )
            print(made[-1], flush=True)
    return made


def table(results: dict[str, Any]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| network | batch | | eager fp32, images/s | compiled fp32 | eager bf16 | compiled bf16 | share of products |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, made in results["subjects"].items():
        for what in ("train", "evaluate"):
            known = {(r["way"], r["precision"]): r for r in made if r["what"] == what}
            base = known["eager", "fp32"]
            cells = [f"{base['images_per_second']:.0f}"]
            for key in (("compiled", "fp32"), ("eager", "bf16"), ("compiled", "bf16")):
                ratio = known[key]["images_per_second"] / base["images_per_second"] if key in known else None
                cells.append(f"{ratio:.2f} x" if ratio else "-")
            shares = ", ".join(f"{r['share_of_products']:.0%}" for r in known.values())
            lines.append(f"| {name} | {base['batch']} | {what} | {' | '.join(cells)} | {shares} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--save", action="store_true", help="write results-<device>.json beside this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    if device.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(0)
    rates = {name: product_rate(device, dtype, options.repeats) for name, dtype in PRECISIONS.items()}
    path = Path(__file__).with_name(f"results-{device.type}.json")
    stored = read_json(path, "the results")["subjects"] if options.save and path.exists() else {}
    results = {
        **circumstances(options, device),
        "load": os.getloadavg()[0],
        "products_per_second": rates,
        "subjects": stored
        | {n: rows(SUBJECTS[n](device.type == "cuda"), device, options.repeats, rates) for n in options.only},
    }
    print(table(results))
    if options.save:
        write_json(path, results)


if __name__ == "__main__":
    main()
