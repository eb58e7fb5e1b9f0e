"""By which figure of the held-out images should networks be judged? (see README.md)"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from experiments import records
from experiments.collecting import collect_or_report
from experiments.wins.setting import Setting
from nas.data import ImageData
from nas.train import training
from nas.train.accelerator import make_accelerator
from search_spaces.arch import Arch

WINS = Path(__file__).parents[1] / "wins"
NAMES = ("found", "plain", "best plain: four")  # of the networks that are judged
JUDGES = 2000  # images of one split: a fifth of 10,000, as a search holds them out
CUTS = (0.5, 0.75, 1.0)  # of a training's epochs, where a contest compares
SHORT = "a short training"  # of half of the epochs, along a schedule of its own, as candidates of a search have it
FIGURES = ("top-1", "probability", "Brier score", "loss", "loss at its best temperature")
DRAWS = 2000
LEAST = 8  # networks that a seed must have trained to count

Record = dict[str, Any]
Split = Mapping[str, float]  # by figure, higher is better


def good_networks(setting: Setting, count: int) -> dict[str, Arch]:
    """By id, `count` good networks of one latency: what searches of this data set found, then plain ones."""
    lines = [r for file in sorted(WINS.glob("results-*.jsonl")) for r in records.read(file) if r["kind"] == "network"]
    found = {r["id"]: Arch.from_dict(r["arch"]) for name in NAMES for r in lines if r["name"] == name}
    mine = [(key, arch) for key, arch in found.items() if arch.in_channels == setting.in_channels]
    return dict(mine[:count])


def figures(logits: Tensor, labels: Tensor) -> Split:
    """What the answers of some images say of a network; all but `top-1` and `probability` with their sign turned."""
    told = logits.softmax(1)
    ones = nn.functional.one_hot(labels, logits.shape[1])
    scaled = minimize_scalar(lambda log_t: float(cross_entropy(logits / np.exp(log_t), labels)), bounds=(-2, 2))
    return dict(
        zip(
            FIGURES,
            (
                100 * float((logits.argmax(1) == labels).float().mean()),
                float(told.gather(1, labels[:, None]).mean()),
                -float((told - ones).square().sum(1).mean()),
                -float(cross_entropy(logits, labels)),
                -float(scaled.fun),
            ),
            strict=True,
        )
    )


def answers(network: nn.Module, data: ImageData) -> list[Split]:
    """The figures of each split of the test images."""
    network.eval()
    with torch.inference_mode():
        parts = [(network(images), labels) for images, labels in data.test.in_order(500)]
    network.train()
    logits, labels = (torch.cat(part) for part in zip(*parts, strict=True))
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
    return [figures(logits[rows], labels[rows]) for rows in order.split(JUDGES) if len(rows) == JUDGES]


def judged(setting: Setting, root: str, arch: Arch, seed: int, short: bool) -> Record:
    """`arch` trained with `seed`, and what each split of the test images says of it: at each of the `CUTS`, or at the
    end of a short training."""
    torch.set_num_threads(1)
    began, data, recipe = time.process_time(), setting.data(root), setting.recipe
    if short:
        recipe = dataclasses.replace(recipe, epochs=setting.candidate_epochs)
    network = training.build_network(arch, recipe, seed=seed)
    cuts = {round(cut * recipe.epochs): str(cut) for cut in CUTS} if not short else {recipe.epochs: SHORT}
    splits: dict[str, list[Split]] = {}

    def look(epoch: int, _: Mapping[str, float]) -> None:
        if (cut := cuts.get(epoch + 1)) is not None:
            splits[cut] = answers(network, data)

    options = training.Options(on_epoch=look, evaluate_every=0)
    training.train(network, data, recipe, seed=seed, accelerator=make_accelerator("cpu"), options=options)
    return {"splits": splits, "processor_seconds": time.process_time() - began}


def collect(data: str, out: Path, dataset: str, images: int, networks: int, seeds: int, processes: int) -> None:
    """Train what is missing, seed after seed."""
    setting, file = Setting(dataset, images), out / "results.jsonl"
    found, context = records.finished(file), multiprocessing.get_context("spawn")
    done = {(r["arch"], r["seed"], SHORT in r["splits"]) for r in found}
    chosen = good_networks(setting, networks)
    pieces = [(arch, seed, short) for short in (False, True) for seed in range(seeds) for arch in chosen.values()]
    left = [piece for piece in pieces if (piece[0].id, *piece[1:]) not in done]
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        jobs = {pool.submit(partial(judged, setting, data), *piece): piece for piece in left}
        for job in as_completed(jobs):
            arch, seed, _ = jobs[job]
            found.append({"arch": arch.id, "macs": arch.macs, "seed": seed, **job.result()})
            records.write(file, found)
            print(json.dumps({key: value for key, value in found[-1].items() if key != "splits"}), flush=True)


def report(file: Path) -> None:
    """How well each figure of one split ranks networks by the accuracy on the other splits: of these very trainings,
    and of other seeds."""
    found: dict[tuple[str, int], dict[str, list[Split]]] = {}
    for r in records.read(file):
        found.setdefault((r["arch"], r["seed"]), {}).update(r["splits"])
    whole = {key for key, splits in found.items() if "1.0" in splits}
    names = list(dict.fromkeys(arch for arch, _ in found))
    seeds = [s for s in sorted({seed for _, seed in whole}) if sum((n, s) in whole for n in names) >= LEAST]
    names = [name for name in names if all((name, s) in whole for s in seeds)]
    values = _values(found, names, seeds)
    final = values["1.0"]["top-1"].mean(axis=(1, 2))
    print(f"{len(names)} networks, seeds {', '.join(map(str, seeds))}; {min(final):.2f} to {max(final):.2f}%")
    _table("the same trainings", _same, values)
    if len(seeds) > 1:
        _table("the other seeds", _others, values)


Truth = Callable[[np.ndarray, int, int], np.ndarray]
"""Of the accuracies (networks, seeds, splits) at the end, those that seed and split are held against."""


def _same(accuracy: np.ndarray, seed: int, split: int) -> np.ndarray:
    return np.delete(accuracy[:, seed], split, 1).mean(axis=1)


def _others(accuracy: np.ndarray, seed: int, split: int) -> np.ndarray:
    return np.delete(np.delete(accuracy, seed, 1), split, 2).mean(axis=(1, 2))


def _table(of: str, truth: Truth, values: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    print(f"\nHeld against {of}, on the other splits:\n")
    print("| judged after | by | Kendall's tau | less that of top-1 | what its best has below the best, points |")
    print("| --- | --- | --- | --- | --- |")
    accuracy = values["1.0"]["top-1"]
    count = len(accuracy)
    draws = np.random.default_rng(0).integers(count, size=(DRAWS, count))
    whole = np.arange(count)[None]
    for cut, mine in values.items():
        usual, drawn = (_taus(mine["top-1"], accuracy, truth, rows) for rows in (whole, draws))
        for figure, value in mine.items():
            tau = _taus(value, accuracy, truth, whole)[0]
            low, high = np.nanquantile(_taus(value, accuracy, truth, draws) - drawn, [0.025, 0.975])
            regret, less = _regret(value, accuracy, truth), tau - usual[0]
            print(f"| {cut} | {figure} | {tau:.2f} | {less:+.2f} ({low:+.2f} to {high:+.2f}) | {regret:.2f} |")


def _values(
    found: Mapping[tuple[str, int], Mapping[str, list[Split]]], names: Sequence[str], seeds: Sequence[int]
) -> dict[str, dict[str, np.ndarray]]:
    """By cut and figure, an array of networks, seeds and splits."""
    return {
        cut: {
            figure: np.array([[[s[figure] for s in found[n, seed][cut]] for seed in seeds] for n in names])
            for figure in FIGURES
        }
        for cut in (SHORT, *map(str, CUTS))
        if all(cut in found[n, seed] for n in names for seed in seeds)
    }


def _judgements(value: np.ndarray, accuracy: np.ndarray, truth: Truth) -> list[tuple[np.ndarray, np.ndarray]]:
    """What each split of each seed says of the networks, and what they are held against."""
    _, seeds, splits = value.shape
    return [(value[:, i, j], truth(accuracy, i, j)) for i in range(seeds) for j in range(splits)]


def _regret(value: np.ndarray, accuracy: np.ndarray, truth: Truth) -> float:
    """How far what is judged best lies below the best, on average."""
    return fmean(float(true.max() - true[said.argmax()]) for said, true in _judgements(value, accuracy, truth))


def _taus(value: np.ndarray, accuracy: np.ndarray, truth: Truth, draws: np.ndarray) -> np.ndarray:
    """Of each row of `draws`, the mean Kendall tau-b of these networks; NaN where all networks of a row are alike."""
    found = []
    for said, true in _judgements(value, accuracy, truth):
        first, second = (np.sign(x[:, None] - x)[draws[:, :, None], draws[:, None]] for x in (said, true))
        ties = np.count_nonzero(first, axis=(1, 2)) * np.count_nonzero(second, axis=(1, 2))
        with np.errstate(invalid="ignore"):
            found.append((first * second).sum(axis=(1, 2)) / np.sqrt(ties))
    return np.mean(found, axis=0)


DEFAULTS = Setting()

if __name__ == "__main__":
    collect_or_report(
        __doc__,
        "runs/judging",
        collect,
        report,
        dataset=(DEFAULTS.dataset, "fashion_mnist or cifar10"),
        images=(10_000, "training images; 0: all"),
        networks=(12, "that are judged"),
        seeds=(3, "trainings of every network"),
        processes=(2, "single-threaded worker processes"),
    )
