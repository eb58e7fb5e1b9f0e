"""How much a network's time changes when it is loaded anew, beside the noise of measuring one load (see README.md)."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.latency.build import draw_networks
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.measuring.measure import Repeats, prepare_copies, quiet, visits_here
from nas.networks.network import build_network
from nas.runs.files import read_json, write_json
from search_spaces.families.fbnet import fbnet

HERE = Path(__file__).parent
NETWORKS, COPIES, ROUNDS, VISIT_MS = 10, 8, 40, 20.0


def times_ms(device: Device, resolution: int) -> NDArray[np.float64]:
    """Visits of random FBNets: `(NETWORKS, COPIES, ROUNDS)`."""
    archs, _ = draw_networks(fbnet(resolution), Effort(fit_networks=NETWORKS), 0)
    with quiet(device):
        copies = {
            f"{i}/{copy}": [workload]
            for i, arch in enumerate(archs)
            for copy, workload in enumerate(prepare_copies(build_network(arch), arch.input_shape, device, COPIES))
        }
        made = visits_here(copies, device, 0, Repeats(ROUNDS, VISIT_MS))
    visits = [[made[key][turn].ms for turn in range(ROUNDS)] for key in sorted(copies)]
    return np.array(visits).reshape(NETWORKS, COPIES, ROUNDS)


def spreads(times: NDArray[np.float64]) -> dict[str, float]:
    """Standard deviations in percent: of the median of one load's visits, and of that median between loads.

    The first is half of that between the medians of even and of odd visits, each of which holds half the visits.
    """
    even, odd = np.median(times[..., ::2], axis=-1), np.median(times[..., 1::2], axis=-1)
    between = np.log(np.median(times, axis=-1)).std(axis=1, ddof=1)
    return {
        "same_load_percent": 100 * float(np.sqrt(np.square(np.log(even / odd)).mean()) / 2),
        "between_loads_percent": 100 * float(np.sqrt(np.square(between).mean())),
        "largest_percent": 100 * float(between.max()),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", choices=("onnxruntime", "torch"), nargs="*", default=["onnxruntime", "torch"])
    parser.add_argument("--resolution", type=int, nargs="*", default=[32, 224])
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    results = read_json(options.out, "results") if options.out.exists() else {}
    for runtime in options.runtime:
        for resolution in options.resolution:
            found = spreads(times_ms(Device(runtime=runtime), resolution))
            results[f"fbnet-{resolution}-{runtime}"] = found
            write_json(options.out, dict(sorted(results.items())))
            print(f"fbnet-{resolution}-{runtime}", {key: round(value, 2) for key, value in found.items()}, flush=True)
