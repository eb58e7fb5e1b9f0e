"""The script `measure.py` of a kit: measures the graphs beside its `kit.json` and writes `results.json`.

It is this module with those it is made of, in one file (see `source`), and needs only Python, numpy and onnxruntime. It
can be stopped and started again at any time. Tables of this machine are measured by the same code: its processes are
those that `python -m nas.latency.measuring.kit_script <folder> --sample` starts.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.latency.measuring.journal import Journal, locked, seal
from nas.latency.measuring.processes.sampling import MISTAKE, Group, Request, answer_all, ask
from nas.latency.measuring.timing import (
    Workload,
    check_threads,
    machine,
    measuring_version,
    onnx_workload,
)
from nas.latency.measuring.visits import Visit

SAMPLE = "--sample"
SAYS_EVERY_SECONDS = float(os.environ.get("KIT_SAYS_EVERY_SECONDS", "10"))


def main(folder: Path) -> None:
    """Measure the kit in `folder`: `results.jsonl` while it runs, `results.json` when it is done."""
    import onnxruntime

    if (folder / "results.json").exists():
        print(f"{folder / 'results.json'} is there already; copy it back, or delete it to measure again")
        return
    kit = json.loads((folder / "kit.json").read_text(encoding="utf-8"))
    if kit["id"] != seal(kit, "id"):
        raise ValueError(f"{folder / 'kit.json'} is damaged (its digest differs); copy the kit again")
    device = kit["device"]
    check_threads(device["threads"])
    here = {**machine(), "onnxruntime": onnxruntime.__version__, "measuring": measuring_version(device["dtype"])}
    header = {"kit": kit["id"], **{name: here[name] for name in ("cpu", "cores", "onnxruntime", "measuring")}}
    command = [sys.executable, str(Path(__file__).resolve()), str(folder), SAMPLE]
    with locked(folder / "results.lock", print):
        journal = Journal(folder / "results.jsonl", header, print)
        print(f"rows: {len(kit['rows'])}, whole networks: {len(kit['networks'])}; stop and start again at will")
        common = {"seed": kit["seed"], "device": device, "references": kit["references"]}
        for name, group in groups(kit["rows"], kit["networks"], kit["effort"]).items():
            made = sum(len(journal.visits.get(entry["key"], {})) for entry in group.entries)
            counter = _Counter(journal, name, made, len(group.entries) * group.processes * group.visits_each)
            for asked in group.requests(common, journal.visits):
                ask(command, [asked], counter)
        journal.close()
        visits = {
            key: [visit.numbers() for _, visit in sorted(turns.items())]
            for key, turns in sorted(journal.visits.items())
        }
        results = {"format": "nas.latency_kit_results", "version": 3, "unit": "ms", "kit": kit["id"]}
        results |= {"device": device, "environment": here, "visits": visits}
        text = json.dumps({**results, "digest": seal(results, "digest")})
        partial = folder / "results.json.partial"
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / "results.json")
    print(f"done: {folder / 'results.json'}")


def groups(rows: list[Any], networks: list[Any], effort: Mapping[str, Any]) -> dict[str, Group]:
    """The rows and the whole networks of a table, as they are measured."""
    return {
        "blocks": Group(rows, effort["rounds"], effort["visit_ms"]),
        "networks": Group(
            networks, effort["network_rounds"], effort["network_visit_ms"], minutes=effort["network_minutes"]
        ),
    }


def sample(folder: Path) -> None:
    """Make the visits that stand on the standard input to graphs in `folder`."""
    gc.disable()
    answer_all(lambda asked, entry: graph_workload(folder, asked, entry))


def graph_workload(folder: Path, asked: Request, entry: Mapping[str, Any]) -> Workload:
    """The graph of an entry, which lies in `folder`, loaded as a request says."""
    path = folder / entry["file"]
    model = path.read_bytes()
    if hashlib.sha256(model).hexdigest() != entry["sha256"]:
        raise ValueError(f"{path} is damaged (its digest differs from the one in kit.json); copy the kit again")
    threads, processor = asked["device"]["threads"], asked["device"]["processor"]
    in_caller = processor == "cpu" and threads == 1
    return onnx_workload(model, tuple(entry["shape"]), threads, processor, in_caller)


class _Counter:
    """Records visits, and prints now and then how many are made, those of an earlier process among them."""

    def __init__(self, journal: Journal, group: str, made: int, total: int) -> None:
        self.journal, self.group, self.total = journal, group, total
        self.done, self.last = made, time.monotonic()

    def __call__(self, key: str, turn: int, visit: Visit) -> None:
        self.journal.record(key, turn, visit)
        self.done += 1
        if time.monotonic() - self.last > SAYS_EVERY_SECONDS:
            self.last = time.monotonic()
            print(f"{self.group}: {self.done} of at most {self.total} visits", flush=True)


if __name__ == "__main__":
    try:
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
        if SAMPLE in sys.argv:
            sample(given)
        else:
            main(given)
    except ValueError as mistake:
        print(f"Error: {mistake}", file=sys.stderr)
        sys.exit(MISTAKE)
