"""Single-Path NAS, a soft supernet and random networks of equal latency on one space, same recipe (see README.md)."""

from __future__ import annotations

from experiments import equal_latency
from search_spaces import LayerwiseSpace
from search_spaces.single_path import single_path


def space() -> LayerwiseSpace:
    return single_path(equal_latency.RESOLUTION, 10, 1)


SETTING = equal_latency.Setting(space, {"single_path": ("single_path", {}), "dnas": ("dnas", {})})

if __name__ == "__main__":
    equal_latency.main(SETTING, __doc__, "runs/single_path_vs_random")
