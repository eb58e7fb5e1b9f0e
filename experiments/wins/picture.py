"""`python -m experiments.wins.picture`: accuracy against time of what was found on all of CIFAR-10, and of rivals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from experiments import records
from experiments.wins.report import NEAR, AtBudget, at_each_budget
from experiments.wins.rivals import FOUND, RANDOM

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results-cifar10-50k-zen5.jsonl"
PICTURE = FOLDER.parents[1] / "docs" / "front.png"
SHOWN = {
    FOUND: ("found by the default search", "#3b5bdb", "o"),
    "best plain: four": ("four plain convolutions", "#2b8a3e", "D"),
    "plain": ("plain convolutions, the reference", "#82c91e", "D"),
    "best plain: kernel 5": ("four, of kernel 5", "#96a7b0", "D"),
    RANDOM: ("random networks of the space", "#b9b3d9", "s"),
    "mobilenetv4_conv_small": ("MobileNetV4-Conv-Small", "#c92a2a", "^"),
}


@dataclass(frozen=True)
class Dot:
    """One network: of which search, its measured time and the test accuracy of its training from scratch."""

    name: str
    seed: int
    latency_ms: float
    top1_percent: float


def dots(at: AtBudget) -> list[Dot]:
    """Every network that is trained, but hand-made ones that are too slow to count as rivals."""
    trained = {(r["id"], r["seed"]): r["top1_percent"] for r in at.trainings}
    return [
        Dot(n["name"], n["seed"], n["latency_ms"], trained[n["id"], n["seed"]])
        for n in at.networks
        if (n["id"], n["seed"]) in trained and at.slower(n["name"]) <= NEAR
    ]


def draw(shown: list[Dot], path: Path) -> None:
    """`shown` as a picture; raises `ValueError` for a network that has no place in the legend."""
    unknown = sorted({dot.name for dot in shown} - SHOWN.keys())
    if unknown:
        raise ValueError(f"no colour for {', '.join(unknown)}: add it to SHOWN, which has {', '.join(SHOWN)}")
    figure, axes = plt.subplots(figsize=(8.2, 3.8), dpi=120)
    for name, (label, color, marker) in SHOWN.items():
        mine = [dot for dot in shown if dot.name == name]
        times, accuracies = [dot.latency_ms for dot in mine], [dot.top1_percent for dot in mine]
        axes.plot(times, accuracies, marker, color=color, label=label, ms=6, alpha=0.9)
    axes.set_xlabel("time of one image, ms (ONNX Runtime, one thread)")
    axes.set_ylabel("test accuracy, % top-1")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    (at,) = at_each_budget(records.read(RESULTS))
    draw(dots(at), PICTURE)
