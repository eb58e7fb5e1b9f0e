"""Tables of spaces on this machine, with their proofs: 224 and 32 pixels, ONNX Runtime and torch eager."""

from __future__ import annotations

import argparse
import itertools
import os
import time
from pathlib import Path

from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.tables.plot import scatter
from nas.latency.tables.table import LatencyTable
from nas.runs.files import read_json, write_json
from search_spaces.families.fbnet import fbnet
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.families.mobilenetv2.space import mobilenetv2
from search_spaces.families.rexnet.space import rexnet
from search_spaces.families.single_path import single_path

HERE = Path(__file__).parent
EFFORT = Effort(
    fit_networks=128, held_out_networks=40, rounds=15, network_rounds=15, visit_ms=3.0, network_visit_ms=15.0
)  # what `python -m nas.latency` does by default
SPACES = {"fbnet": fbnet, "single_path": single_path, "fbnetv3": fbnetv3, "mobilenetv2": mobilenetv2, "rexnet": rexnet}
RUNTIMES, RESOLUTIONS = ("onnxruntime", "torch"), (224, 32)


def record(table: LatencyTable, seconds: float, load: float) -> dict[str, object]:
    assert table.proof is not None
    return {
        "device": table.device.to_dict(),
        "environment": table.environment,
        "rows": len(table.rows_),
        "calibration": table.calibration,
        "offset_ms": table.offset_ms,
        "proof": table.proof.to_dict(),
        "margin": table.margin,
        "faults": table.proof.faults,
        "seconds": seconds,
        "load_average": load,
        "measured_ms": [min(n["measured_ms"] for n in table.networks), max(n["measured_ms"] for n in table.networks)],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", choices=list(SPACES), nargs="*", default=["fbnet"])
    parser.add_argument("--runtime", choices=RUNTIMES, nargs="*", default=list(RUNTIMES))
    parser.add_argument("--resolution", type=int, choices=RESOLUTIONS, nargs="*", default=list(RESOLUTIONS))
    parser.add_argument("--tables", type=Path, default=Path("latency_tables"))
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    arguments = parser.parse_args()
    for space, runtime, resolution in itertools.product(arguments.space, arguments.runtime, arguments.resolution):
        started = time.perf_counter()
        device = Device(runtime=runtime)
        table = build_table(SPACES[space](resolution), device, arguments.tables, effort=EFFORT, refresh=True)
        name = f"{space}-{resolution}-{runtime}"
        results = read_json(arguments.out, "results") if arguments.out.exists() else {}
        results[name] = record(table, time.perf_counter() - started, os.getloadavg()[0])
        write_json(arguments.out, dict(sorted(results.items())))
        scatter(table, arguments.out.parent / f"{name}.png")
        print(name, table.proof.sentence() if table.proof else "", flush=True)
