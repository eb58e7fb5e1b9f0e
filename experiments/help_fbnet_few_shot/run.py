"""Ten whole-network times and other devices' data make a table for a new device; beside HELP's published figures."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np

from nas.latency.learning.learn import Additive, learn
from nas.latency.learning.transfer import NOISE, OWN, SOURCE, WORK, transfer
from nas.latency.tables.proof import Errors
from nas.runs.files import write_json
from search_spaces.families.fbnet import fbnet

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "tests" / "fixtures" / "help-fbnet" / "fbnet_latency.npz"
# HELP's split (its README, Table 2): source devices, target devices, and its ten reference networks.
SOURCES = (
    "1080ti_1", "1080ti_32", "1080ti_64", "silver_4114", "silver_4210r", "samsung_a50", "pixel3", "essential_ph_1",
    "samsung_s7",
)  # fmt: skip
VALIDATION = ("titanx_1", "titanx_32", "titanx_64", "gold_6240")
TARGETS = {"raspi4": 0.887, "eyeriss": 0.943, "fpga": 0.892}  # HELP's Spearman at ten samples
REFERENCE = np.array([3328, 3790, 3313, 890, 3052, 2538, 1640, 2514, 457, 2100])
DRAWS = 20


class Bench:
    def __init__(self, path: Path) -> None:
        self.space = fbnet(32, num_classes=100, head_channels=1504)
        with np.load(path) as data:
            self.population = data["archs"].astype(np.int64)
            self.times = {name[4:]: data[name].astype(np.float64) for name in data.files if name.startswith("lat_")}
        self.sources = {
            device: learn(self.space, self.population[:4000], self.times[device][:4000]) for device in SOURCES
        }
        rng = np.random.default_rng(0)
        self.draws = [rng.choice(4000, 10, replace=False) for _ in range(DRAWS)]

    def spearman(self, device: str, rows: np.ndarray, sources: list[Additive], *prior: float) -> float:
        """Rank correlation on rows 4000 to 4999 after seeing only the times of `rows` on `device`."""
        stds = (prior[:3],) if prior else ((SOURCE, WORK, OWN),)
        noises = (prior[3],) if prior else (NOISE,)
        times = self.times[device]
        fit = transfer(self.space, self.population[rows], times[rows], sources, stds=stds, noises=noises)
        return Errors.of(fit.predict(self.population[4000:]), times[4000:]).spearman

    def others(self, device: str) -> list[Additive]:
        """Sources of another make than `device` (a GPU's batch sizes go together)."""
        make = device.split("_")[0]
        return [table for name, table in self.sources.items() if name.split("_")[0] != make]


def choose_prior(bench: Bench) -> list[dict[str, object]]:
    """Score priors on the source devices alone, each in turn as the new device; best first."""
    grid = itertools.product((0.1, 0.3, 1.0), (0.03, 0.1, 0.3), (0.01, 0.03, 0.1), (0.03, 0.1, 0.3))
    scored = []
    for prior in grid:
        scores = [
            bench.spearman(device, rows, bench.others(device), *prior) for device in SOURCES for rows in bench.draws[:4]
        ]
        scored.append({"source": prior[0], "work": prior[1], "own": prior[2], "noise": prior[3],
                       "mean_spearman": float(np.mean(scores))})  # fmt: skip
    return sorted(scored, key=lambda record: -float(record["mean_spearman"]))


def run(path: Path) -> dict[str, object]:
    bench = Bench(path)
    everything = list(bench.sources.values())
    devices: dict[str, object] = {}
    for device in (*TARGETS, *VALIDATION):
        drawn = [bench.spearman(device, rows, everything) for rows in bench.draws]
        alone = learn(bench.space, bench.population[REFERENCE], bench.times[device][REFERENCE])
        devices[device] = {
            "help_published": TARGETS.get(device),
            "spearman_reference_networks": bench.spearman(device, REFERENCE, everything),
            "spearman_random_networks_mean": float(np.mean(drawn)),
            "spearman_random_networks_std": float(np.std(drawn)),
            "spearman_random_networks_min": float(np.min(drawn)),
            "without_other_devices": Errors.of(
                alone.predict(bench.population[4000:]), bench.times[device][4000:]
            ).spearman,
        }
        print(device, devices[device], flush=True)
    ranked = choose_prior(bench)
    used = {"source": SOURCE, "work": WORK, "own": OWN, "noise": NOISE}
    rank = next(i for i, record in enumerate(ranked) if all(record[key] == value for key, value in used.items()))
    return {
        "samples": 10,
        "random_draws": DRAWS,
        "sources": SOURCES,
        "devices": devices,
        "prior": {
            "used": {**ranked[rank], "rank": rank + 1},
            "tried": len(ranked),
            "best": ranked[:5],
            "worst": ranked[-1],
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    arguments = parser.parse_args()
    write_json(arguments.out, run(arguments.data))
