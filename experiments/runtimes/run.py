"""One table of FBNet's space at 32 pixels for each runtime, on the same networks."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.proven_tables import Recorder
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.runtimes import check_local
from search_spaces.families.fbnet import fbnet

HERE = Path(__file__).parent
WAYS = (  # runtime, arithmetic
    *("onnxruntime", "onnxruntime:int8", "torch", "openvino", "openvino:int8", "openvino:bf16"),
    *("litert", "litert:int8", "ncnn", "ncnn:bf16", "executorch", "executorch:int8", "inductor"),
)
FIT, HELD_OUT = 24, 40  # networks; all runtimes are compared on those held out


def collect(ways: Sequence[str], pythons: Mapping[str, str], recorder: Recorder) -> None:
    """Measure what is missing."""
    for way in ways:
        runtime, _, dtype = way.partition(":")
        device = Device(runtime=runtime, dtype=dtype or "fp32", python=pythons.get(way, pythons.get(runtime)))
        try:
            check_local(device)
        except ValueError as error:
            print(f"{way}: left out: {error}", flush=True)
            continue
        if recorder.refresh or way not in recorder.records():
            recorder.build(way, fbnet(32), device)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), help="runtime, or runtime:dtype")
    parser.add_argument(
        "--python",
        nargs="*",
        default=[],
        help="runtime=interpreter or runtime:dtype=interpreter, where it is not this one",
    )
    parser.add_argument(
        "--machine", required=True, help="a short name of this machine, which its results are kept under"
    )
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--rounds", type=int, default=5, help="visits to each block and network, each by a process")
    parser.add_argument("--refresh", action="store_true", help="measure again what is there")
    arguments = parser.parse_args()
    effort = Effort(FIT, HELD_OUT, arguments.rounds, arguments.rounds, visit_ms=2.0, network_visit_ms=8.0)
    collect(
        arguments.ways,
        dict(entry.split("=", 1) for entry in arguments.python),
        Recorder(
            arguments.out / "tables" / arguments.machine,
            arguments.out / f"results-{arguments.machine}.json",
            effort,
            arguments.refresh,
        ),
    )
