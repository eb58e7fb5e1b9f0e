"""The script `measure.py` of a kit: measures the graphs beside its `kit.json` and writes `results.json`.

It is this module with those it is made of, in one file (see `source`), and needs only Python, numpy and onnxruntime. It
can be stopped and started again at any time.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas.latency.measuring.journal import Journal, locked, seal
from nas.latency.measuring.timing import (
    Workload,
    capacity,
    check_threads,
    machine,
    measuring_version,
    onnx_workload,
)
from nas.latency.measuring.visits import Interleaved


def main(folder: Path) -> None:
    """Measure the kit in `folder`: `results.jsonl` while it runs, `results.json` when it is done."""
    import onnxruntime

    if (folder / "results.json").exists():
        print(f"{folder / 'results.json'} is there already; copy it back, or delete it to measure again")
        return
    kit = json.loads((folder / "kit.json").read_text(encoding="utf-8"))
    if kit["id"] != seal(kit, "id"):
        raise ValueError(f"{folder / 'kit.json'} is damaged (its digest differs); copy the kit again")
    device, effort = kit["device"], kit["effort"]
    check_threads(device["threads"])
    here = {**machine(), "onnxruntime": onnxruntime.__version__, "measuring": measuring_version(device["dtype"])}
    header = {"kit": kit["id"], **{name: here[name] for name in ("cpu", "cores", "onnxruntime", "measuring")}}
    with locked(folder / "results.lock", print):
        journal = Journal(folder / "results.jsonl", header, print)
        reference = _graph(folder, device, kit["reference"])
        print(f"rows: {len(kit['rows'])}, whole networks: {len(kit['networks'])}; stop and start again at will")
        for group, entries, rounds, visit_ms, minutes in (
            ("row:", kit["rows"], effort["rounds"], effort["visit_ms"], math.inf),
            ("net:", kit["networks"], effort["network_rounds"], effort["network_visit_ms"], effort["network_minutes"]),
        ):
            visits = {key: turns for key, turns in journal.visits.items() if key.startswith(group)}
            watch = Interleaved(kit["seed"], rounds, visit_ms, reference, journal.record, visits)
            for part in _parts(entries):
                ready = {e["key"]: [_graph(folder, device, e)] for e in part}
                plan = watch.plan(ready, minutes * len(part) / len(entries))
                watch.run(ready, _Counter(group, len(part) * plan.rounds), _say, plan)
            journal.visits.update(watch.visits)
        journal.close()
        made = {
            key: [[v.ms, v.reference_ms, v.calls] for _, v in sorted(turns.items())]
            for key, turns in sorted(journal.visits.items())
        }
        results = {"format": "nas.latency_kit_results", "version": 2, "unit": "ms", "kit": kit["id"]}
        results |= {"device": device, "environment": here, "visits": made}
        text = json.dumps({**results, "digest": seal(results, "digest")})
        partial = folder / "results.json.partial"
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / "results.json")
    print(f"done: {folder / 'results.json'}")


def _graph(folder: Path, device: dict[str, Any], entry: dict[str, Any]) -> Workload:
    path = folder / entry["file"]
    model = path.read_bytes()
    if hashlib.sha256(model).hexdigest() != entry["sha256"]:
        raise ValueError(f"{path} is damaged (its digest differs from the one in kit.json); copy the kit again")
    threads, processor = device["threads"], device["processor"]
    in_caller = processor == "cpu" and threads == 1
    return onnx_workload(model, tuple(entry["shape"]), threads, processor, in_caller)


def _parts(entries: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """`entries` in their order, cut into groups that fit into memory together."""
    part: list[dict[str, Any]] = []
    params, most = 0, capacity()
    for entry in entries:
        if part and params + entry["params"] > most:
            yield part
            part, params = [], 0
        part.append(entry)
        params += entry["params"]
    if part:
        yield part


def _say(count: int) -> None:
    print(f"background load; repeating {count} timings", flush=True)


class _Counter:
    """Prints about every ten seconds how many visits are made."""

    def __init__(self, group: str, total: int) -> None:
        self.group, self.total, self.done, self.last = group, total, 0, time.monotonic()

    def __call__(self) -> None:
        self.done += 1
        if time.monotonic() - self.last > 10:
            self.last = time.monotonic()
            print(f"{self.group} {self.done} of at most {self.total} visits", flush=True)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
    except ValueError as mistake:
        print(f"Error: {mistake}", file=sys.stderr)
        sys.exit(2)
