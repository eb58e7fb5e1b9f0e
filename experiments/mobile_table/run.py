"""The table of the mobile space at 32 pixels: its proof, interpolated rows measured after all, hand-made networks."""

from __future__ import annotations

import argparse
import os
import random
import time
from pathlib import Path

import numpy as np

from experiments.latency_proof.run import EFFORT, record
from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.measuring.measure import Repeats, measure_arch_ms, measured_here, prepare
from nas.latency.tables.plot import scatter
from nas.latency.tables.table import LatencyTable, all_entries, row_key
from nas.runs.files import read_json, write_json
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, DepthwiseSeparable, InvertedResidual, Layer
from search_spaces.costs import make_divisible
from search_spaces.families.mobile.lists import STRIDES
from search_spaces.families.mobile.space import mobile
from search_spaces.families.mobilenetv2.published import STAGES
from search_spaces.space import SearchSpace

HERE = Path(__file__).parent
RESOLUTION, CLASSES = 32, 10


def dense(*stages: tuple[int, int, int]) -> list[tuple[Layer, ...]]:
    """Stages of 3x3 convolutions: channels, how many, stride of the first."""
    return [tuple(ConvBNAct(c, 3, 1 if i else stride) for i in range(n)) for c, n, stride in stages]


def inverted(*stages: tuple[int, int, int]) -> list[tuple[Layer, ...]]:
    """Stages of inverted residuals of kernel 5 and expansion 4."""
    return [tuple(InvertedResidual(c, 5, 1 if i else stride, 4.0) for i in range(n)) for c, n, stride in stages]


def mobilenetv2(width: float) -> list[tuple[Layer, ...]]:
    """MobileNetV2's stages in the small geometry, with ReLU, which is what the default space has."""
    stages: list[tuple[Layer, ...]] = []
    for (expand, channels, repeats, _), stride in zip(STAGES, STRIDES["small"], strict=True):
        out, strides = make_divisible(channels * width), [stride] + [1] * (repeats - 1)
        if expand == 1:
            stages.append(tuple(DepthwiseSeparable(out, 3, s) for s in strides))
        else:
            stages.append(tuple(InvertedResidual(out, 3, s, expand) for s in strides))
    return stages


def network(stages: list[tuple[Layer, ...]], head: int) -> Arch:
    """`stages` between a stem of 16 channels and stride 2 and a head of `head` channels."""
    return Arch(RESOLUTION, ((ConvBNAct(16, 3, 2),), *stages, (ConvBNAct(head), Classifier(CLASSES))))


HAND_MADE = {
    "seven convolutions": network(dense((16, 1, 1), (48, 2, 2), (96, 2, 2), (160, 1, 2)), 256),
    "dense, then inverted": network([*dense((24, 1, 1), (48, 1, 2)), *inverted((80, 2, 2), (128, 3, 2))], 256),
    "MobileNetV2 x0.35": network(mobilenetv2(0.35), 1280),
    "MobileNetV2 x0.5": network(mobilenetv2(0.5), 1280),
}


def held_out_rows(table: LatencyTable, space: SearchSpace, count: int, seed: int) -> dict[str, float]:
    """Errors of `count` interpolated rows that are measured after all, as the rows of the table were."""
    known = {(row.layer, row.shape) for row in table.rows_}
    rows = random.Random(seed).sample([row for row in all_entries(space) if row not in known], count)
    ready = {row_key(*row): [prepare(row[0].build(row[1]), row[1], table.device)] for row in rows}
    times = measured_here(ready, table.device, seed, Repeats(EFFORT.rounds, EFFORT.visit_ms))
    errors = np.array([_isolated(table, row) / times[row_key(*row)].median_ms - 1 for row in rows])
    return {
        "rows": count,
        "mape_percent": float(100 * np.abs(errors).mean()),
        "bias_percent": float(100 * errors.mean()),
        "worst_tenth_percent": float(100 * np.quantile(np.abs(errors), 0.9)),
    }


def _isolated(table: LatencyTable, row: tuple[Layer, object]) -> float:
    found = table.row(*row)  # type: ignore[arg-type]  # a row of the space
    assert found is not None and found.count == 0
    return found.ms


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, default=Path("latency_tables"))
    parser.add_argument("--refresh", action="store_true", help="measure a table that is there again")
    parser.add_argument("--rows", type=int, default=150, help="interpolated rows to measure")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    arguments = parser.parse_args()
    space, device = mobile(RESOLUTION, CLASSES), Device()
    load, started = os.getloadavg()[0], time.perf_counter()
    table = build_table(space, device, arguments.tables, effort=EFFORT, refresh=arguments.refresh)
    seconds = time.perf_counter() - started
    known = read_json(arguments.out, "results") if arguments.out.exists() else {}
    if seconds < 30 and "seconds" in known:  # the table was there
        seconds, load = known["seconds"], known["load_average"]
    results = {**record(table, seconds, load), "interpolation": table.interpolation, "hand_made": {}}
    results["held_out_rows"] = held_out_rows(table, space, arguments.rows, seed=1)
    results["load_average_afterwards"] = os.getloadavg()[0]
    for name, arch in HAND_MADE.items():
        space.encode(arch)  # they are points of the space
        found = measure_arch_ms(arch, device)
        results["hand_made"][name] = {
            "estimate_ms": table.estimate_ms(arch),
            "measured_ms": found.median_ms,
            "spread_ms": found.spread_ms,
            "macs": arch.macs,
        }
    write_json(arguments.out, results)
    scatter(table, arguments.out.with_name("table.png"))
    print(table.proof.sentence() if table.proof else "", results["held_out_rows"], results["hand_made"], sep="\n")
