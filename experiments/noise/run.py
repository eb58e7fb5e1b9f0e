"""Times on a noisy machine (see README.md): one network again and again, tables, searches; with and without load."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from experiments import records
from experiments.neighbours import beside
from experiments.noise import unpaired
from nas.latency import build
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.measuring.journal import Journal
from nas.latency.tables.table import LatencyTable, table_path
from nas.networks.creation import create_model
from nas.runs.files import read_json
from search_spaces.families.fbnet import fbnet
from search_spaces.space import SearchSpace

HERE = Path(__file__).parent
ARCH = HERE / "arch.json"
EFFORT = Effort(128, 40, rounds=15, network_rounds=15, visit_ms=3.0, network_visit_ms=15.0)  # that of `nas.latency`
RESOLUTIONS = (32, 16)
INVOCATIONS, SEARCHES = 20, 10
STATES = ("calm", "loaded", "crowded")
BUSY = {  # beside us where the state is loaded
    "computing": "i = 0\nwhile True: i = (i * 48271 + 1) % 2147483647",
    "streaming": "import numpy\na, b = numpy.ones(16_000_000), numpy.ones(16_000_000)\nwhile True: numpy.add(a, b, a)",
}


def spaces() -> dict[int, SearchSpace]:
    return {resolution: fbnet(resolution, num_classes=10) for resolution in RESOLUTIONS}


def evaluations(state: str, out: Path) -> None:
    """`INVOCATIONS` of `python -m nas.evaluate` on the network of `arch.json`, one after the other."""
    file = out / "evaluations.jsonl"
    found = records.finished(file)
    weights = out / "weights.safetensors"
    if not weights.exists():
        from safetensors.torch import save_file

        save_file(create_model(str(ARCH), pretrained=False).state_dict(), weights)
    for i in range(sum(r["state"] == state for r in found), INVOCATIONS):
        folder = out / "evaluations" / f"{state}-{i}"
        command = [sys.executable, "-m", "nas.evaluate", f"arch={ARCH}", f"checkpoint={weights}", "data=digits"]
        subprocess.run([*command, f"run_dir={folder}"], check=True, stdout=subprocess.DEVNULL)
        metrics = read_json(folder / "metrics.json", "metrics")
        keys = ("measured_latency_ms", "latency_now_ms", "latency_slowdown", "latency_spread_ms")
        found.append({"state": state, "load": os.getloadavg()[0], **{key: metrics[key] for key in keys}})
        records.write(file, found)
        print(json.dumps(found[-1]), flush=True)


def tables(state: str, out: Path) -> None:
    """The tables of FBNet's space, each built anew, and what the same visits give without pairing."""
    file = out / "tables.jsonl"
    found = records.finished(file)
    for resolution, space in spaces().items():
        if any((r["state"], r["resolution"]) == (state, resolution) for r in found):
            continue
        kept: list[Journal] = []
        begun = time.perf_counter()
        with keeping(kept):
            table = build.build_table(space, Device(), out / state, effort=EFFORT)
        seconds = time.perf_counter() - begun
        plain = unpaired.table_of(space, kept[-1].visits, EFFORT)
        plain.save(table_path(out / f"{state}-unpaired", space, Device()))
        for name, one in ((state, table), (f"{state}-unpaired", plain)):
            assert one.proof is not None
            what = {"proof": one.proof.to_dict(), "slowdown": table.environment["slowdown"], "seconds": seconds}
            found.append({"state": name, "resolution": resolution, "load": os.getloadavg()[0], **what})
        records.write(file, found)
        print(state, resolution, f"{seconds:.0f} s", table.proof and table.proof.sentence(), flush=True)


@contextlib.contextmanager
def keeping(kept: list[Journal]) -> Iterator[None]:
    """Builds of tables leave their journals in `kept`."""

    class Kept(Journal):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            kept.append(self)

    build.Journal = Kept  # type: ignore[misc]
    try:
        yield
    finally:
        build.Journal = Journal  # type: ignore[misc]


def compared(out: Path) -> list[dict[str, Any]]:
    """Estimates of 40 networks by the tables made otherwise against those by the tables of the calm machine."""
    found = []
    for resolution, space in spaces().items():
        networks = [space.decode(g) for g in space.sample(40, np.random.default_rng(1))]
        for state, suffix in itertools.product(STATES[1:], ("", "-unpaired")):
            paths = [table_path(out / f"{name}{suffix}", space, Device()) for name in ("calm", state)]
            if all(path.exists() for path in paths):
                calm, loaded = (np.array([LatencyTable.load(p).estimate_ms(a) for a in networks]) for p in paths)
                off = loaded / calm - 1
                found.append(
                    {
                        "state": state,
                        "resolution": resolution,
                        "paired": not suffix,
                        "mean_percent": 100 * float(np.abs(off).mean()),
                        "largest_percent": 100 * float(np.abs(off).max()),
                        "bias_percent": 100 * float(off.mean()),
                    }
                )
    return found


def searches(state: str, out: Path) -> None:
    """Searches of Single-Path's space on digits for half of the reachable range, up to the measured network."""
    file = out / "searches.jsonl"
    found = records.finished(file)
    done = {r["seed"] for r in found if r["state"] == state}
    for seed in sorted(set(range(SEARCHES)) - done):
        folder = out / "searches" / f"{state}-{seed}"
        command = [sys.executable, "-m", "nas.search", "space=single_path", f"seed={seed}", "budget.fraction=0.5"]
        command += ["method.epochs=2", "train.enabled=false", f"tables={out / 'tables'}", f"run_dir={folder}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode
        if ended > 1:  # 1: a budget that was missed, which is what is counted here
            raise SystemExit(f"the search of seed {seed} failed; its directory is {folder}")
        result = read_json(folder / "result.json", "result")
        keys = ("asked_latency_ms", "estimated_latency_ms", "measured_latency_ms", "latency_now_ms", "budget_met")
        rounds = read_json(folder / "derived.json", "derived networks")["rounds"]
        own = {"state": state, "seed": seed, "load": os.getloadavg()[0], "rounds": rounds}
        found.append({**own, **{key: result[key] for key in keys}})
        records.write(file, found)
        print(json.dumps(found[-1]), flush=True)


PARTS = {"evaluations": evaluations, "tables": tables, "searches": searches}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", choices=list(PARTS), nargs="*", default=list(PARTS))
    parser.add_argument(
        "--state", choices=STATES, required=True, help="loaded: beside two busy processes; crowded: others' work"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/noise"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the load ends with us
    with beside(list(BUSY.values()) if options.state == "loaded" else []):
        for part in options.parts:
            PARTS[part](options.state, options.out)
    for line in compared(options.out):
        print(json.dumps(line))
