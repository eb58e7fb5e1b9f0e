"""Time of a training step of a supernet of blocks, widths and depths, beside the same supernet at fixed widths."""

from __future__ import annotations

import functools
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from experiments.benchmarks.stepping import Step, circumstances, cpu_options, images_and_labels, masked_step, times_ms
from nas.runs.files import write_json
from search_spaces.from_card import from_card
from search_spaces.space import SearchSpace

HERE = Path(__file__).parent
BATCH, CLASSES, PIXELS = 32, 10, 32
CONV = {"kind": "conv_bn_act", "kernel_size": 3}
MBCONV = {"kind": "inverted_residual", "kernel_size": [3, 5], "expand_ratio": [3, 6]}
STAGES: list[tuple[list[int], list[int], int]] = [  # channels, depths, stride: a card of dense and depthwise stages
    ([16, 24, 32], [1, 2], 1),
    ([32, 48, 64], [1, 2, 3], 2),
    ([64, 96, 128], [1, 2, 3], 2),
    ([96, 128, 160, 192], [1, 2], 2),
]


def space(free_widths: bool) -> SearchSpace:
    """Kinds and depths are searched in both; `free_widths`: channels too, else the largest of each stage."""
    stages: list[dict[str, Any]] = [
        {"channels": c if free_widths else c[-1], "depth": d, "stride": s, "blocks": [CONV, MBCONV]}
        for c, d, s in STAGES
    ]
    ends = {"out_channels": 16, "kernel_size": 3}, {"out_channels": 256}
    return from_card(stages, *ends, "mixed", PIXELS, CLASSES, 3)


def main() -> None:
    options, device = cpu_options(__doc__), torch.device("cpu")
    images, labels = images_and_labels(BATCH, PIXELS, CLASSES)
    makers: dict[str, Callable[[], Step]] = {
        f"{part}, {widths} widths": functools.partial(
            masked_step, space(widths == "free"), part == "theta", images, labels
        )
        for part in ("weights", "theta")
        for widths in ("fixed", "free")
    }
    load = os.getloadavg()[0]
    taken = times_ms(makers, options.repeats, device, sampled=())
    results: dict[str, Any] = {
        **circumstances(options, device),
        "batch": BATCH,
        "load_average": [load, os.getloadavg()[0]],
    }
    for part in ("weights", "theta"):
        fixed, free = taken[f"{part}, fixed widths"], taken[f"{part}, free widths"]
        ratios = sorted(b / a for a, b in zip(fixed, free, strict=True))
        results[part] = {
            "fixed_ms": statistics.median(fixed),
            "free_ms": statistics.median(free),
            "ratio": statistics.median(ratios),
            "smallest_ratio": ratios[0],
            "largest_ratio": ratios[-1],
            "ratio_of_fastest": min(free) / min(fixed),
        }
        row = ", ".join(f"{key} {value:.3g}" for key, value in results[part].items())
        print(f"{part}: {row}", flush=True)
    if options.save:
        write_json(HERE / "results.json", results)


if __name__ == "__main__":
    main()
