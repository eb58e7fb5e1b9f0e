"""What blocks of equal shape cost, and blocks of equal multiply-adds: dense against depthwise (see README.md)."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from torch import nn

from experiments import records
from nas.latency.device import Device
from nas.latency.measuring.measure import Repeats, prepare, quiet, visits_here
from search_spaces.blocks import (
    ConvBNAct,
    DepthwiseSeparable,
    FusedBottleneck,
    InvertedResidual,
    Layer,
    UniversalBottleneck,
)
from search_spaces.costs import Shape

HERE = Path(__file__).parent
SIDES = {32: (32, 16, 8, 4), 224: (112, 56, 28, 14, 7)}
WIDTHS = (8, 16, 32, 48, 64, 96, 128, 192, 256)
MOST_MACS = 60e6  # of one block
DEPTH = 4  # blocks in a row, so that the call itself weighs little


def blocks(channels: int) -> dict[str, Layer]:
    """Blocks that keep `channels`, by name."""
    return {
        "conv 3x3": ConvBNAct(channels, 3),
        "depthwise + 1x1": DepthwiseSeparable(channels, 3),
        "bottleneck e3": InvertedResidual(channels, 3, expand_ratio=3),
        "bottleneck e6": InvertedResidual(channels, 3, expand_ratio=6),
        "fused e3": FusedBottleneck(channels, 3, expand_ratio=3),
        "extra depthwise e3": UniversalBottleneck(channels, 3, 3, expand_ratio=3),
    }


def cases(resolution: int) -> list[tuple[str, Shape, Layer]]:
    """Every block at every map of images of `resolution` pixels and every width."""
    shapes = [Shape(c, side, side) for side in SIDES[resolution] for c in WIDTHS]
    found = [(name, shape, layer) for shape in shapes for name, layer in blocks(shape.channels).items()]
    return [(name, shape, layer) for name, shape, layer in found if layer.cost(shape).macs <= MOST_MACS]


def measure(device: Device, resolution: int, seed: int) -> list[float]:
    """Milliseconds of one block of each case, at the pace of the reference network's quietest quarter."""
    with quiet(device):
        ready = {
            str(i): [prepare(nn.Sequential(*(layer.build(shape) for _ in range(DEPTH))), shape, device)]
            for i, (_, shape, layer) in enumerate(cases(resolution))
        }
        made = visits_here(ready, device, seed, Repeats(9, 8.0))
    references = [visit.reference_ms for turns in made.values() for visit in turns.values()]
    calm = statistics.quantiles(references, n=4)[0]
    return [
        statistics.median(v.ms / v.reference_ms for v in made[str(i)].values()) * calm / DEPTH
        for i in range(len(cases(resolution)))
    ]


def collect(device: Device, resolution: int, processes: int) -> list[dict[str, Any]]:
    """The median of new processes, each of which visits all cases in turns."""
    argv = [sys.executable, "-m", "experiments.block_times.run", "--resolution", str(resolution)]
    argv += ["--runtime", device.runtime, "--threads", str(device.threads), "--dtype", device.dtype]
    found = []
    for seed in range(processes):
        environment = {**os.environ, "OMP_NUM_THREADS": str(device.threads)}
        done = subprocess.run([*argv, "--seed", str(seed)], capture_output=True, text=True, check=True, env=environment)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return [
        {
            "runtime": device.runtime,
            "dtype": device.dtype,
            "threads": device.threads,
            "resolution": resolution,
            "block": name,
            "side": shape.height,
            "channels": shape.channels,
            "macs": layer.cost(shape).macs,
            "us": round(1e3 * statistics.median(times), 3),
            "us_range": [round(1e3 * min(times), 3), round(1e3 * max(times), 3)],
        }
        for (name, shape, layer), times in zip(cases(resolution), zip(*found, strict=True), strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "results.jsonl")
    parser.add_argument("--resolution", type=int, choices=tuple(SIDES), default=32)
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--seed", type=int, help="measure once, in this process, and print")
    options = parser.parse_args()
    device = Device(runtime=options.runtime, dtype=options.dtype, threads=options.threads)
    if options.seed is not None:
        print(json.dumps(measure(device, options.resolution, options.seed)))
        return
    key = {
        "runtime": device.runtime,
        "dtype": device.dtype,
        "threads": device.threads,
        "resolution": options.resolution,
    }
    kept = [r for r in records.finished(options.out) if any(r[name] != value for name, value in key.items())]
    records.write(options.out, kept + collect(device, options.resolution, options.processes))


if __name__ == "__main__":
    main()
