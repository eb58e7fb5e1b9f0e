"""One table of FBNet's space at 32 pixels for each runtime, on the same networks."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.runtimes import check_local
from nas.latency.tables.table import LatencyTable
from nas.runs.files import read_json, write_json
from search_spaces.families.fbnet import fbnet

HERE = Path(__file__).parent
WAYS = (  # runtime, arithmetic
    *("onnxruntime", "onnxruntime:int8", "torch", "openvino", "openvino:int8", "openvino:bf16"),
    *("litert", "ncnn", "ncnn:bf16", "executorch", "inductor"),
)
FIT, HELD_OUT = 24, 40  # networks; all runtimes are compared on those held out


def record(table: LatencyTable, seconds: float, load: float) -> dict[str, Any]:
    assert table.proof is not None
    return {
        "device": table.device.to_dict(),
        "environment": table.environment,
        "rows": len(table.rows_),
        "calibration": table.calibration,
        "proof": table.proof.to_dict(),
        "fell_back": table.fell_back.to_dict() if table.fell_back else None,
        "seconds": seconds,
        "load_average": load,
        "networks": [
            {name: network[name] for name in ("arch", "measured_ms", "estimate_ms")}
            for network in table.networks
            if network["role"] == "held_out"
        ],
    }


def collect(ways: list[str], pythons: dict[str, str], out: Path, effort: Effort, refresh: bool) -> None:
    """Measure what is missing in `out`; a table that was begun is continued."""
    for way in ways:
        runtime, _, dtype = way.partition(":")
        device = Device(runtime=runtime, dtype=dtype or "fp32", python=pythons.get(runtime))
        try:
            check_local(device)
        except ValueError as error:
            print(f"{way}: left out: {error}", flush=True)
            continue
        file = out / "results.json"
        results = read_json(file, "results") if file.exists() else {}
        if way in results and not refresh:
            continue
        started, load = time.perf_counter(), os.getloadavg()[0]
        table = build_table(fbnet(32), device, out / "tables", effort=effort, refresh=refresh)
        results = read_json(file, "results") if file.exists() else {}  # another process may have added to it
        results[way] = record(table, time.perf_counter() - started, load)
        write_json(file, dict(sorted(results.items())))
        print(way, table.proof.sentence() if table.proof else "", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), help="runtime, or runtime:dtype")
    parser.add_argument("--python", nargs="*", default=[], help="runtime=interpreter, where it is not this one")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--rounds", type=int, default=5, help="visits to each block and network, each by a process")
    parser.add_argument("--refresh", action="store_true", help="measure again what is there")
    arguments = parser.parse_args()
    collect(
        arguments.ways,
        dict(entry.split("=", 1) for entry in arguments.python),
        arguments.out,
        Effort(FIT, HELD_OUT, arguments.rounds, arguments.rounds, visit_ms=2.0, network_visit_ms=8.0),
        arguments.refresh,
    )
