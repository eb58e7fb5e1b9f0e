"""Tables of spaces on this machine, with their proofs: 224 and 32 pixels, ONNX Runtime and torch eager."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

from experiments.proven_tables import Recorder
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.tables.plot import scatter
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", choices=list(SPACES), nargs="*", default=["fbnet"])
    parser.add_argument("--runtime", choices=RUNTIMES, nargs="*", default=list(RUNTIMES))
    parser.add_argument("--resolution", type=int, choices=RESOLUTIONS, nargs="*", default=list(RESOLUTIONS))
    parser.add_argument("--tables", type=Path, default=Path("latency_tables"))
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    arguments = parser.parse_args()
    recorder = Recorder(arguments.tables, arguments.out, EFFORT, refresh=True)
    for space, runtime, resolution in itertools.product(arguments.space, arguments.runtime, arguments.resolution):
        name = f"{space}-{resolution}-{runtime}"
        table = recorder.build(name, SPACES[space](resolution), Device(runtime=runtime))
        scatter(table, arguments.out.parent / f"{name}.png")
