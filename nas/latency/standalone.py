"""Interleaved, repeated, watched timing that needs nothing but Python, numpy and onnxruntime.

Every workload is visited once a round, in an order shuffled anew each round, so that slow drift of the machine hits all
alike. A fixed reference workload runs before and after each stretch of visits; visits of a stretch in which the
reference was slow are made again. A workload's time is the median over its visits, each visit being the median of a few
calls behind one untimed call. Where a workload was loaded several times, visits take turns among these copies.

This file is part of the package, and it is also the script `measure.py` of a kit: beside a `kit.json` it measures the
kit's graphs and writes `results.json`. It can be stopped and started again at any time.
"""

from __future__ import annotations

import json
import math
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Workload = Callable[[int], "list[float]"]
"""`workload(n)` runs one batch n times and returns the n times in milliseconds."""
Copies = Sequence[Workload]
"""One workload, loaded as many times: what lies where in memory differs, and with it the time (3% for small nets)."""

STRETCH_MS = 200.0  # time between two runs of the reference
DISTURBED = 1.10  # a stretch whose reference exceeds the run's usual one by this factor is measured again
RETRIES = 3
LEAST_ROUNDS = 6  # that a limit on time leaves
PREEMPTED = 1.03  # wall-clock over running time from which a call counts as interrupted by another process
MEMORY_SHARE = 0.4  # of the free memory, for networks held ready at a time
BYTES_PER_PARAM = 12  # a weight, its packed copy, and activations beside them

# -- timing


def timed(run: Callable[[], Any], threads: int) -> Workload:
    """Wall-clock times of `run`.

    On one thread, a call during which the system gave the core to another process counts the time it ran itself. On a
    machine that is left alone the two clocks agree, and a call takes what its caller waits.
    """
    alone = threads == 1

    def workload(calls: int) -> list[float]:
        times = []
        for _ in range(calls):
            ran = time.thread_time_ns() if alone else 0
            start = time.perf_counter_ns()
            run()
            waited = time.perf_counter_ns() - start
            if alone:
                ran = time.thread_time_ns() - ran
                if waited > PREEMPTED * ran:
                    waited = ran
            times.append(waited * 1e-6)
        return times

    return workload


def image(shape: tuple[int, ...]) -> np.ndarray:
    """Noise in the range of normalised images: zeros would meet shortcuts, huge values denormals behind them."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def onnx_workload(model: bytes | str, shape: tuple[int, ...], threads: int, processor: str = "cpu") -> Workload:
    """An ONNX model under ONNX Runtime: full graph optimisation, bound buffers, so that only execution is timed."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    provider = "CUDAExecutionProvider" if processor == "cuda" else "CPUExecutionProvider"
    session = onnxruntime.InferenceSession(model, options, providers=[provider])
    binding = session.io_binding()
    binding.bind_cpu_input("input", image(shape))
    binding.bind_output("output", "cpu")
    return timed(lambda: session.run_with_iobinding(binding), threads)


@dataclass(frozen=True)
class Visit:
    """One visit to a workload: its time, the reference's time around it, and how many calls were timed."""

    ms: float
    reference_ms: float
    calls: int


Visits = dict[str, dict[int, Visit]]


def keep_quieter(visits: Visits, key: str, turn: int, visit: Visit) -> None:
    """Enter `visit` unless the same visit was already made on a quieter machine."""
    known = visits.setdefault(key, {}).get(turn)
    if known is None or visit.reference_ms < known.reference_ms:
        visits[key][turn] = visit


def capacity() -> int:
    """Parameters of all networks that may be held ready at a time."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        free = 4 * 2**30  # a system that does not say
    return max(50_000_000, int(MEMORY_SHARE * free / BYTES_PER_PARAM))


def usual_reference_ms(visits: Visits) -> float:
    """The reference's lower quartile: its time while the machine is left alone at least a quarter of the time."""
    times = [visit.reference_ms for turns in visits.values() for visit in turns.values()]
    return statistics.quantiles(times, n=4)[0] if len(times) > 1 else times[0]


@dataclass(frozen=True)
class Plan:
    """How many calls a visit to each workload times, and how many rounds are made."""

    calls: Mapping[str, int]
    rounds: int


@dataclass
class Interleaved:
    """Visits by workload and round, filled by `run` and possibly begun by an earlier, interrupted process.

    `record(key, round, visit)` is told of every visit as it is made.
    """

    seed: int
    rounds: int
    visit_ms: float
    reference: Workload
    record: Callable[[str, int, Visit], None] = lambda key, turn, visit: None
    visits: Visits = field(default_factory=dict)

    def plan(self, workloads: Mapping[str, Copies], most_minutes: float = math.inf) -> Plan:
        """The visits that `run` makes: all rounds, or as many as `most_minutes` allow, at least `LEAST_ROUNDS`."""
        calls: dict[str, int] = {}
        round_ms = 0.0
        for key, (first, *_) in workloads.items():
            first(1)
            ms = max(first(1)[0], 1e-4)
            calls[key] = max(2, min(50, math.ceil(self.visit_ms / ms)))
            round_ms += (1 + calls[key]) * ms
        affordable = int(min(60e3 * most_minutes / max(round_ms, 1e-4), self.rounds))
        return Plan(calls, min(self.rounds, max(LEAST_ROUNDS, affordable)))

    def run(
        self,
        workloads: Mapping[str, Copies],
        advance: Callable[[], None] = lambda: None,
        repeating: Callable[[int], None] = lambda count: None,
        plan: Plan | None = None,
    ) -> None:
        """Visit each of `workloads` in every round that lacks it, then again where the machine was disturbed.

        `repeating` is told how many visits are made again, at most half of all. `plan`: that of these workloads.
        """
        plan = plan or self.plan(workloads)
        calls = plan.calls
        for turn in range(plan.rounds):
            todo = [key for key in sorted(workloads) if turn not in self.visits.get(key, {})]
            random.Random(f"{self.seed}/order/{turn}").shuffle(todo)
            self._stretches([(key, turn) for key in todo], workloads, calls, advance)
        left = plan.rounds * len(workloads) // 2
        for _ in range(RETRIES):
            again = self._disturbed(workloads)[:left]
            if not again:
                break
            left -= len(again)
            repeating(len(again))
            self._stretches(again, workloads, calls, lambda: None)

    def _disturbed(self, workloads: Mapping[str, Copies]) -> list[tuple[str, int]]:
        """The disturbed visits to `workloads`, the worst first."""
        limit = DISTURBED * usual_reference_ms(self.visits)
        found = [
            (visit.reference_ms, key, turn)
            for key in workloads
            for turn, visit in self.visits[key].items()
            if visit.reference_ms > limit
        ]
        return [(key, turn) for _, key, turn in sorted(found, reverse=True)]

    def _stretches(
        self,
        order: list[tuple[str, int]],
        workloads: Mapping[str, Copies],
        calls: Mapping[str, int],
        advance: Callable[[], None],
    ) -> None:
        stretch: list[tuple[str, int, float]] = []
        spent = 0.0
        before = self._reference_ms() if order else 0.0
        for i, (key, turn) in enumerate(order):
            copy = workloads[key][turn % len(workloads[key])]
            copy(1)
            times = copy(calls[key])
            stretch.append((key, turn, statistics.median(times)))
            spent += sum(times)
            if spent >= STRETCH_MS or i == len(order) - 1:
                after = self._reference_ms()
                for name, at, ms in stretch:
                    visit = Visit(ms, max(before, after), calls[name])
                    self.record(name, at, visit)
                    keep_quieter(self.visits, name, at, visit)
                    advance()
                stretch, spent, before = [], 0.0, after

    def _reference_ms(self) -> float:
        self.reference(1)
        return statistics.median(self.reference(3))


# -- what survives a kill


class Journal:
    """A JSON-lines file: a header naming what is measured, then visits. A torn last line is dropped."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.visits: Visits = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = _whole_lines(path)
        if lines and lines[0] == header:
            for line in lines[1:]:
                keep_quieter(self.visits, line["key"], line["turn"], Visit(line["ms"], line["ref"], line["calls"]))
            _cut_torn_end(path)
            self.file = path.open("a")
        else:
            self.file = path.open("w")
            self._write(header)

    def record(self, key: str, turn: int, visit: Visit) -> None:
        self._write({"key": key, "turn": turn, "ms": visit.ms, "ref": visit.reference_ms, "calls": visit.calls})

    def _write(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    if path.exists():
        for text in path.read_bytes().split(b"\n")[:-1]:
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
    return lines


def _cut_torn_end(path: Path) -> None:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)


@contextmanager
def locked(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file `path`; tells `waiting` once when another process holds it, then waits for it.

    The system frees the lock when its holder ends, however it ends. Where the system has no such locks, none is held.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            import fcntl
        except ImportError:
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting(f"waiting for another process that measures the same ({path.name})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


# -- the machine


def cpu_model() -> str:
    """The processor's name as the system states it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model", "Hardware")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """What a reader needs to judge or repeat a measurement: processor, cores, system, versions, time."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


# -- the script of a kit


def main(folder: Path) -> None:
    """Measure the kit in `folder`: `results.jsonl` while it runs, `results.json` when it is done."""
    import onnxruntime

    if (folder / "results.json").exists():
        print(f"{folder / 'results.json'} is there already; copy it back, or delete it to measure again")
        return
    kit = json.loads((folder / "kit.json").read_text(encoding="utf-8"))
    device, effort = kit["device"], kit["effort"]
    here = {**machine(), "onnxruntime": onnxruntime.__version__}
    header = {"kit": kit["id"], "cpu": here["cpu"], "onnxruntime": here["onnxruntime"]}
    with locked(folder / "results.lock", print):
        journal = Journal(folder / "results.jsonl", header)
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
        results = {"format": "nas.latency_kit_results", "version": 1, "unit": "ms", "kit": kit["id"]}
        text = json.dumps({**results, "device": device, "environment": here, "visits": made})
        partial = folder / "results.json.partial"
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / "results.json")
    print(f"done: {folder / 'results.json'}")


def _graph(folder: Path, device: dict[str, Any], entry: dict[str, Any]) -> Workload:
    return onnx_workload(str(folder / entry["file"]), tuple(entry["shape"]), device["threads"], device["processor"])


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
    print(f"the machine was disturbed; making {count} visits again", flush=True)


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
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
