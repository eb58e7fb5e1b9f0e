"""Times of networks as shares of the reference network's time around them, each from several processes.

A process keeps its luck (where its pages lie, who its neighbours are): one process is one sample.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from nas.latency.device import Device
from nas.latency.measuring.measure import Repeats, prepare, quiet, visits_here
from nas.networks.network import build_network
from search_spaces.arch import Arch


@dataclass(frozen=True)
class Share:
    """Median over processes of a network's time over the reference's, the spread of the processes, and the time."""

    share: float
    low: float
    high: float
    ms: float


def shares(
    archs: Sequence[Arch], device: Device, processes: int, rounds: int = 9, visit_ms: float = 8.0
) -> list[Share]:
    """The share of each of `archs`, all visited in turns by every one of `processes` new processes."""
    found = [_in_new_process(archs, device, seed, rounds, visit_ms) for seed in range(processes)]
    return [
        Share(
            statistics.median(share for share, _ in mine),
            min(share for share, _ in mine),
            max(share for share, _ in mine),
            statistics.median(ms for _, ms in mine),
        )
        for mine in zip(*found, strict=True)
    ]


def _in_new_process(
    archs: Sequence[Arch], device: Device, seed: int, rounds: int, visit_ms: float
) -> list[tuple[float, float]]:
    job = {
        "archs": [arch.to_dict() for arch in archs],
        "device": device.to_dict(),
        "seed": seed,
        "rounds": rounds,
        "visit_ms": visit_ms,
    }
    done = subprocess.run(
        [sys.executable, "-m", "experiments.dense_or_depthwise.timing"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(device.threads)},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"measuring failed: {done.stderr.strip()[-2000:]}")
    return [(share, ms) for share, ms in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    job = json.loads(sys.stdin.read())
    device = Device.from_dict(job["device"])
    archs = [Arch.from_dict(arch) for arch in job["archs"]]
    with quiet(device):
        ready = {str(i): [prepare(build_network(a), a.input_shape, device)] for i, a in enumerate(archs)}
        made = visits_here(ready, device, job["seed"], Repeats(job["rounds"], job["visit_ms"]))
    found = []
    for i in range(len(archs)):
        visits = made[str(i)].values()
        share = statistics.median(visit.ms / visit.reference_ms for visit in visits)
        found.append((share, statistics.median(visit.ms for visit in visits)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
