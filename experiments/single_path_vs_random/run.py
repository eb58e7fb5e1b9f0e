"""Single-Path NAS, a soft supernet and random networks of equal latency on one space, same recipe (see README.md)."""

from __future__ import annotations

from experiments import equal_latency
from search_spaces import LayerwiseSpace
from search_spaces.families.single_path import single_path


def space() -> LayerwiseSpace:
    return single_path(equal_latency.RESOLUTION, 10, 1)


LONGER = {"epochs": 15, "warmup_epochs": 5, **equal_latency.UNDECIDED}  # than the cards, which are made for two minutes
ANNEALED = {"temperature_decay": 0.2, "temperature_floor": 0.1, "negligible": 0.0}
METHODS = {"single_path": ("single_path", LONGER), "dnas": ("dnas", {**LONGER, **ANNEALED})}
SETTING = equal_latency.Setting(space, METHODS)

if __name__ == "__main__":
    equal_latency.main(SETTING, __doc__, "runs/single_path_vs_random")
