"""`python -m experiments.mobile_search.picture`: accuracy against time of the networks in results.jsonl."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FOLDER = Path(__file__).parent
PICTURE = FOLDER.parents[1] / "docs" / "front.png"
FOUND = ("predictor", "random")
SHOWN = {
    "predictor": ("found by method=predictor", "#3b5bdb", "o"),
    "random": ("found by method=random", "#8fa3e8", "s"),
    "seven convolutions": ("seven plain convolutions", "#2b8a3e", "D"),
    "MobileNetV2": ("MobileNetV2 x 0.2", "#c92a2a", "^"),
}


@dataclass(frozen=True)
class Network:
    """A network as it was measured and trained: `share` of the reference network's time, test accuracies in percent.

    One found by a search was trained once, with its seed; a hand-made one with every seed.
    """

    name: str
    share: float
    top1_percent: tuple[float, ...]


def networks(file: Path) -> list[Network]:
    """The networks in `file`, with the trainings that are theirs."""
    records = [json.loads(line) for line in file.read_text().splitlines()]
    trained = {(r["name"], r["seed"]): r["top1_percent"] for r in records if r["kind"] == "training"}
    found = []
    for record in (r for r in records if r["kind"] == "share"):
        name = record["name"]
        seeds = [record["seed"]] if name in FOUND else sorted(seed for known, seed in trained if known == name)
        found.append(Network(name, record["share"], tuple(trained[name, seed] for seed in seeds)))
    return found


def draw(shown: list[Network], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7.2, 3.8), dpi=120)
    for name, (label, color, marker) in SHOWN.items():
        of_name = [network for network in shown if network.name == name]
        for i, network in enumerate(of_name):
            xs = [100 * network.share] * len(network.top1_percent)
            axes.plot(xs, network.top1_percent, marker, color=color, label=None if i else label, ms=7, alpha=0.9)
    axes.set_xlabel("time of one image, % of the reference network's (ONNX Runtime, one thread)")
    axes.set_ylabel("test accuracy, % top-1")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    draw(networks(FOLDER / "results.jsonl"), PICTURE)
