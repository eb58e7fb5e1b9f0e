"""Interleaved, repeated, watched timing that needs nothing but Python, numpy and onnxruntime.

Every workload is visited once a round, in an order shuffled anew each round, so that slow drift of the machine hits all
alike. A fixed reference workload runs before and after each stretch of visits; visits of a stretch in which the
reference was slow are made again. A workload's time is the median over its visits, each visit being the median of a few
calls behind one untimed call. Where a workload was loaded several times, visits take turns among these copies.

This file is part of the package, and it is also the script `measure.py` of a kit: beside a `kit.json` it measures the
kit's graphs and writes `results.json`. It can be stopped and started again at any time.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import platform
import random
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

if __package__:
    from nas.runs.machine import cpu_model, usable_cores
else:  # the script of a kit, which machine.py lies beside
    from machine import cpu_model, usable_cores  # type: ignore[no-redef]

try:
    import resource
except ImportError:  # a system without it
    resource = None  # type: ignore[assignment]

Workload = Callable[[int], "list[float]"]
"""`workload(n)` runs one batch n times and returns the n times in milliseconds."""
Copies = Sequence[Workload]
"""One workload, loaded as many times: what lies where in memory differs, and with it the time (3% for small nets)."""

STRETCH_MS = 200.0  # time between two runs of the reference
DISTURBED = 1.10  # a stretch whose reference exceeds the run's usual one by this factor is measured again
RETRIES = 3
LEAST_ROUNDS = 6  # that a limit on time leaves
PREEMPTED = 1.03  # wall-clock over running time from which a call counts as interrupted by another process
MOST_MS = 1e7  # of a call, nearly three hours: more is no time
MEASURING = 1  # raised where this code changes what is measured
MEMORY_SHARE = 0.4  # of the free memory, for networks held ready at a time
BYTES_PER_PARAM = 12  # a weight, its packed copy, and activations beside them

# -- timing


def timed(run: Callable[[], Any], in_calling_thread: bool = False) -> Workload:
    """Wall-clock times of `run`.

    Where all of `run` is computed `in_calling_thread`, a call during which the system took the core away from it counts
    the time it ran itself. On a machine that is left alone the two clocks agree, and a call takes what its caller
    waits. A call that gave its core up by waiting (for a disk, a lock, another thread, a sleep) counts the wait.
    """

    def workload(calls: int) -> list[float]:
        times = []
        for _ in range(calls):
            gave_up = _waits() if in_calling_thread else 0
            ran = time.thread_time_ns() if in_calling_thread else 0
            start = time.perf_counter_ns()
            run()
            took = time.perf_counter_ns() - start
            if in_calling_thread:
                ran = time.thread_time_ns() - ran
                if took > PREEMPTED * ran and _waits() == gave_up:
                    took = ran
            times.append(took * 1e-6)
        return times

    return workload


def _waits() -> int:
    """How often this thread gave its core up of its own accord; where the system does not say, each time differs."""
    try:
        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    except AttributeError:
        return time.perf_counter_ns()


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
    return timed(lambda: session.run_with_iobinding(binding), in_calling_thread=processor == "cpu" and threads == 1)


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


def seal(data: Mapping[str, Any], key: str) -> str:
    """32 hexadecimal digits of all entries of `data` but `key`, where the result is kept."""
    rest = {name: value for name, value in data.items() if name != key}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]


class Journal:
    """A JSON-lines file: a header naming what is measured, then visits, each line with a checksum of its own.

    A torn last line is dropped. A damaged line, or one whose numbers are no visit's, is left out, so that its visit is
    made again. A journal of something else (another machine, runtime version, effort) is kept aside, and begun anew.
    `say` is told of both.
    """

    def __init__(self, path: Path, header: dict[str, Any], say: Callable[[str], None] = lambda text: None) -> None:
        self.path = path
        self.visits: Visits = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {"format": "nas.latency_journal", "version": 2, **json.loads(json.dumps(header))}
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        if lines and (known := _opened(lines[0])) != header:
            aside = path.with_suffix(f".kept-{zlib.crc32(lines[0]):08x}{path.suffix}")
            path.replace(aside)
            differing = [name for name in header if known is None or known.get(name) != header[name]]
            say(f"{path.name} is of another measurement ({', '.join(differing)}); it is kept as {aside.name}")
            lines = []
        if not lines:
            self.file = path.open("w")
            self._write(header)
            return
        damaged = 0
        for line in lines[1:]:
            entry = _visit_of(_opened(line))
            if entry is None:
                damaged += 1
            else:
                keep_quieter(self.visits, *entry)
        if damaged:
            say(f"{path.name} has {damaged} damaged lines; their visits are made again")
        _cut_torn_end(path)
        self.file = path.open("a")

    def record(self, key: str, turn: int, visit: Visit) -> None:
        self._write({"key": key, "turn": turn, "ms": visit.ms, "ref": visit.reference_ms, "calls": visit.calls})

    def _write(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps({**line, "seal": seal(line, "seal")[:8]}) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def _opened(line: bytes) -> dict[str, Any] | None:
    """What `Journal._write` wrote into `line`; None where it was not that."""
    try:
        data = json.loads(line)
        return data if data.pop("seal") == seal(data, "seal")[:8] else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _visit_of(line: dict[str, Any] | None) -> tuple[str, int, Visit] | None:
    if line is None or not isinstance(line.get("key"), str) or not _is_whole(line.get("turn"), 0):
        return None
    visit = visit_of((line.get("ms"), line.get("ref"), line.get("calls")))
    return None if visit is None else (line["key"], line["turn"], visit)


def visit_of(numbers: Any) -> Visit | None:
    """The visit with the three `numbers` time, reference's time (ms) and calls; None where they cannot be one's."""
    if not isinstance(numbers, list | tuple) or len(numbers) != 3 or not _is_whole(numbers[2], 1):
        return None
    for ms in numbers[:2]:
        if isinstance(ms, bool) or not isinstance(ms, int | float) or not 0 < ms <= MOST_MS:
            return None
    return Visit(float(numbers[0]), float(numbers[1]), numbers[2])


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= 10**6


def _cut_torn_end(path: Path) -> None:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)


NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def locked(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file `path`; tells `waiting` once when another process holds it, then waits for it.

    The system frees the lock when its holder ends, however it ends. Where the operating system has no such locks, none
    is held. Raises `ValueError` where only this file system has none: two processes would write the same files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            import fcntl
        except ImportError:
            yield
            return
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting(f"waiting for another process that measures the same ({path.name})")
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise ValueError(
                f"the file system of {path} has no file locks ({error.strerror}), so two processes could measure into "
                "the same files; measure in a folder on a local disk (tables=/tmp/tables, or the kit copied there)"
            ) from None
        yield


# -- the machine


def check_threads(threads: int) -> None:
    """Raise `ValueError` where `threads` threads would share fewer cores: a time filed as theirs would not be."""
    usable, cores = usable_cores(), os.cpu_count()
    if threads > usable:
        least = "" if usable == cores else f", of which its affinity or control group leaves this process {usable}"
        raise ValueError(f"device threads={threads}, but this machine has {cores} cores{least}; use at most {usable}")


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
    if kit["id"] != seal(kit, "id"):
        raise ValueError(f"{folder / 'kit.json'} is damaged (its digest differs); copy the kit again")
    device, effort = kit["device"], kit["effort"]
    check_threads(device["threads"])
    here = {**machine(), "onnxruntime": onnxruntime.__version__, "measuring": MEASURING}
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
    return onnx_workload(model, tuple(entry["shape"]), device["threads"], device["processor"])


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
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
    except ValueError as mistake:
        print(f"Error: {mistake}", file=sys.stderr)
        sys.exit(2)
