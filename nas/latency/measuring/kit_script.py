"""The script `measure.py` of a kit: measures the graphs beside its `kit.json` and writes `results.json`.

It is this module with those it is made of, in one file (see `one_program`), and needs only Python, numpy and
onnxruntime. A kit of another runtime holds no graphs but our sources beside it, in `SOURCES`, and needs what that
runtime does. It can be stopped and started again at any time. Tables of this machine are measured by the same code: its
processes are those that `python -m nas.latency.measuring.kit_script <folder> --sample` starts.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import subprocess
import sys
import time
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.latency.measuring.journal import Journal, locked, seal
from nas.latency.measuring.processes.ended import Ended
from nas.latency.measuring.processes.sampling import MISTAKE, Group, Request, answer_all, ask
from nas.latency.measuring.timing import (
    Workload,
    check_threads,
    machine,
    measuring_version,
    onnx_workload,
)
from nas.latency.measuring.visits import Visit
from nas.latency.onnx_placement import can_fall_back, onnx_placement
from nas.latency.placement import Placement

SAMPLE, MODULES, PLACE = "--sample", "--modules", "--place"
GRAPHS = "onnxruntime"  # the runtime that is given the graphs of a kit
SOURCES = "sources.zip"
AGAIN = "start this again to go on from there"
PLACED = 8  # networks at most whose operators are looked at
PLACEMENT = "placement "  # begins the line in which a process says where operators ran
SAYS_EVERY_SECONDS = float(os.environ.get("KIT_SAYS_EVERY_SECONDS", "10"))


def main(folder: Path) -> None:
    """Measure the kit in `folder`: `results.jsonl` while it runs, `results.json` when it is done."""
    if (folder / "results.json").exists():
        print(f"{folder / 'results.json'} is there already; copy it back, or delete it to measure again")
        return
    kit = json.loads((folder / "kit.json").read_text(encoding="utf-8"))
    if kit["id"] != seal(kit, "id"):
        raise ValueError(f"{folder / 'kit.json'} is damaged (its digest differs); copy the kit again")
    device = kit["device"]
    check_threads(device["threads"])
    here = {**machine(), **_versions(folder, device), "measuring": measuring_version(device["dtype"])}
    header = {"kit": kit["id"], **{name: here[name] for name in ("cpu", "cores", device["runtime"], "measuring")}}
    takes_graphs = device["runtime"] == GRAPHS
    command = [sys.executable, str(Path(__file__).resolve()), str(folder)]
    with locked(folder / "results.lock", print):
        journal = Journal(folder / "results.jsonl", header, print)
        print(f"rows: {len(kit['rows'])}, whole networks: {len(kit['networks'])}; stop and start again at will")
        common = {"seed": kit["seed"], "device": device, "references": kit["references"]}
        if not takes_graphs:
            common |= {"device": {**device, "python": None}, "modules": kit["modules"]}
        for name, group in groups(kit["rows"], kit["networks"], kit["effort"]).items():
            made = sum(len(journal.visits.get(entry["key"], {})) for entry in group.entries)
            counter = _Counter(journal, name, made, len(group.entries) * group.processes * group.visits_each)
            asked = group.requests(common, journal.visits)
            parts = [[one] for one in asked]
            if asked and not takes_graphs and hasattr(os, "fork"):
                parts = [asked]  # of one process, which imports and builds once, and forks those that measure
            for part in parts:
                try:
                    ask([*command, SAMPLE if takes_graphs else MODULES], part, counter, told=counter.told)
                except Ended as fault:
                    raise fault.keeping(f"what was measured until then is kept: {AGAIN}") from None
        journal.close()
        visits = {
            key: [visit.numbers() for _, visit in sorted(turns.items())]
            for key, turns in sorted(journal.visits.items())
        }
        results = {"format": "nas.latency_kit_results", "version": 3, "unit": "ms", "kit": kit["id"]}
        results |= {"device": device, "environment": here, "visits": visits, "fell_back": _placed(command, kit)}
        text = json.dumps({**results, "digest": seal(results, "digest")})
        partial = folder / "results.json.partial"
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / "results.json")
    print(f"done: {folder / 'results.json'}")


def _versions(folder: Path, device: Mapping[str, Any]) -> dict[str, Any]:
    """The versions that a table records. Raises `ValueError` where the runtime of `device` cannot be used."""
    if device["runtime"] == GRAPHS:
        import onnxruntime

        return {GRAPHS: onnxruntime.__version__}
    show_sources(folder)
    from nas.latency.device import Device
    from nas.latency.runtimes import runtime_named

    runtime = runtime_named(device["runtime"])
    runtime.check_here(Device.from_dict(device))
    return runtime.versions_here(device["dtype"])


def show_sources(folder: Path) -> None:
    """Let our modules be imported from the kit in `folder`: those that are asked for, and nothing they open with."""
    for name in ("nas", "search_spaces"):
        package = types.ModuleType(name)
        package.__path__ = [str(folder / SOURCES / name)]
        sys.modules[name] = package


def _placed(command: Sequence[str], kit: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where the operators of the kit's first whole networks run, as `Placement.to_dict` says it.

    None where there is nothing to fall back to. A process of its own looks: it is no part of what is timed.
    """
    device = kit["device"]
    networks = [entry for entry in kit["networks"] if entry["role"] != "fit"] or kit["networks"]
    if not networks or (device["runtime"] == GRAPHS and not can_fall_back(device["dtype"], device["processor"])):
        return None
    done = subprocess.run(
        [*command, PLACE], input=json.dumps(networks[:PLACED]), capture_output=True, text=True, check=False
    )
    said = [line for line in done.stdout.splitlines() if line.startswith(PLACEMENT)]
    if done.returncode or not said:
        raise RuntimeError(f"looking where operators run failed ({done.returncode}): {done.stderr.strip()[-2000:]}")
    return json.loads(said[-1][len(PLACEMENT) :])


def place(folder: Path) -> None:
    """Say where the operators of the networks that stand on the standard input run."""
    kit = json.loads((folder / "kit.json").read_text(encoding="utf-8"))
    device, found = kit["device"], Placement(0)
    for entry in json.loads(sys.stdin.read()):
        shape = tuple(entry["shape"])
        if device["runtime"] == GRAPHS:
            model = graph_of(folder, entry)
            one = onnx_placement(model, shape, device["threads"], device["processor"], device["dtype"])
        else:
            one = _placement_of_module(folder, device, entry)
        if not one.operators:
            print(PLACEMENT + "null")
            return
        found = found + one
    print(PLACEMENT + json.dumps(found.to_dict()))


def _placement_of_module(folder: Path, device: Mapping[str, Any], entry: Mapping[str, Any]) -> Placement:
    show_sources(folder)
    from nas.latency.device import Device
    from nas.latency.measuring.processes.module_script import module_of
    from nas.latency.runtimes import runtime_named

    module, shape = module_of(entry)
    asked = Device.from_dict(dict(device))
    placed = runtime_named(asked.runtime).placement(module, (asked.batch_size, *shape), asked)
    return Placement(placed.networks, placed.operators, placed.elsewhere)


def measure_modules(folder: Path) -> None:
    """Answer requests for torch modules with our own sources, which lie in `folder`."""
    show_sources(folder)
    from nas.latency.measuring.processes import module_script

    module_script.main()


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
    threads, processor = asked["device"]["threads"], asked["device"]["processor"]
    in_caller = processor == "cpu" and threads == 1
    return onnx_workload(graph_of(folder, entry), tuple(entry["shape"]), threads, processor, in_caller)


def graph_of(folder: Path, entry: Mapping[str, Any]) -> bytes:
    """The ONNX model of an entry, which lies in `folder`. Raises `ValueError` for a damaged one."""
    path = folder / entry["file"]
    model = path.read_bytes()
    if hashlib.sha256(model).hexdigest() != entry["sha256"]:
        raise ValueError(f"{path} is damaged (its digest differs from the one in kit.json); copy the kit again")
    return model


class _Counter:
    """Records visits, and prints now and then how many are made, those of an earlier process among them."""

    def __init__(self, journal: Journal, group: str, made: int, total: int) -> None:
        self.journal, self.group, self.total = journal, group, total
        self.done, self.last = made, time.monotonic()

    def __call__(self, key: str, turn: int, visit: Visit) -> None:
        self.journal.record(key, turn, visit)
        self.done += 1
        self.told("")

    def told(self, words: str) -> None:
        if time.monotonic() - self.last > SAYS_EVERY_SECONDS:
            self.last = time.monotonic()
            more = f" ({words})" if words else ""
            print(f"{self.group}: {self.done} of at most {self.total} visits{more}", flush=True)


if __name__ == "__main__":
    try:
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
        actions = {SAMPLE: sample, MODULES: measure_modules, PLACE: place}
        [action] = [does for word, does in actions.items() if word in sys.argv] or [main]
        action(given)
    except Ended as fault:  # not to be taken for a mistake: started again, it may get further
        print(f"Error: {fault}", file=sys.stderr)
        sys.exit(1)
    except ValueError as mistake:
        print(f"Error: {mistake}", file=sys.stderr)
        sys.exit(MISTAKE)
