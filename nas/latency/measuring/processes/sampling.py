"""Workloads measured by several processes: one process is one sample.

A process keeps its luck from its first call to its last: which pages its weights came to lie in, what else runs on the
host. Visits in one process, however many, say little about the next. So the visits to a workload are shared out over a
few processes, each of which loads it anew.

Part of the script that a kit carries (see `kit_script`).
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.latency.measuring.processes.ended import Ended, Slip, named, read_slip, signal_of
from nas.latency.measuring.timing import Workload, capacity
from nas.latency.measuring.visits import Interleaved, Visit, Visits, visit_of

PROCESSES = 5  # that share the visits to a workload
MARK = "visit "  # begins the lines in which a process says what it measured
AT = "at: "  # and these those in which it says what it does before, while nothing is timed
SAYS_SECONDS = 1.0  # from one of the latter to the next, at least
MISTAKE = 2  # exit status of a process that was asked for what it cannot do

Record = Callable[[str, int, Visit], None]
Told = Callable[[str], None]  # what a process does before it visits, in words
Request = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """Workloads that are measured alike: `rounds` visits to each, of about `visit_ms`, in `minutes` where that leaves
    each process two of them. `first`: the number of its first process.

    An entry says, as plain data, how a process loads a workload; all have a `key`, their reference's `rung`, `params`.
    """

    entries: Sequence[Mapping[str, Any]]
    rounds: int
    visit_ms: float
    minutes: float = math.inf
    first: int = 0

    @property
    def processes(self) -> int:
        return min(PROCESSES, self.rounds)

    @property
    def visits_each(self) -> int:
        """Visits by each process to each workload: all in all, at least `rounds`."""
        return -(-self.rounds // self.processes)

    def once_more(self, keys: Collection[str]) -> Group:
        """As many visits again to the workloads `keys`, by as many processes that are new."""
        left = [entry for entry in self.entries if entry["key"] in keys]
        minutes = self.minutes * len(left) / max(len(self.entries), 1)
        return replace(self, entries=left, minutes=minutes, first=self.first + self.processes)

    def requests(self, common: Mapping[str, Any], made: Visits) -> list[Request]:
        """What is asked of each process: the visits that are not `made`. Each is given what fits into memory together.

        `common`: what all are told.
        """
        asked = []
        for process in range(self.first, self.first + self.processes):
            for part in _parts(self.entries):
                own = range(process * self.visits_each, (process + 1) * self.visits_each)
                turns = {e["key"]: [turn for turn in own if turn not in made.get(e["key"], {})] for e in part}
                left = [e for e in part if turns[e["key"]]]
                if left:
                    minutes = self.minutes * len(left) / len(self.entries) / self.processes
                    asked.append(request(common, left, process, turns, self.visit_ms, minutes))
        return asked


def request(
    common: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
    process: int,
    turns: Mapping[str, Sequence[int]],
    visit_ms: float,
    minutes: float = math.inf,
) -> Request:
    """What one process is asked: `common` (`seed`, `device`, `references` by rung), and its visits."""
    wanted = {entry["key"]: list(turns[entry["key"]]) for entry in entries}
    rungs = {entry["rung"] for entry in entries}
    references = {rung: entry for rung, entry in common["references"].items() if rung in rungs}
    own = {"entries": list(entries), "process": process, "turns": wanted, "visit_ms": visit_ms}
    return {**common, "references": references, **own, "minutes": minutes if math.isfinite(minutes) else None}


def _parts(entries: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """`entries` in their order, cut into groups that fit into memory together."""
    parts: list[list[Mapping[str, Any]]] = [[]]
    params, most = 0, capacity()
    for entry in entries:
        if parts[-1] and params + entry["params"] > most:
            parts.append([])
            params = 0
        parts[-1].append(entry)
        params += entry["params"]
    return parts


def answer(asked: Request, load: Callable[[Mapping[str, Any]], Any]) -> None:
    """Make the visits of a request in this process and say them; `load` makes the workload of an entry."""
    with closing(Slip(asked.get("slip"))) as slip:
        steps = Steps("loading", len(asked["references"]) + len(asked["entries"]))

        def loaded(entry: Mapping[str, Any]) -> Workload:
            name = named(entry["key"])
            slip.write(f"loading {name}")
            steps.next()
            workload = load(entry)

            def noted(calls: int) -> list[float]:
                slip.write(f"running {name}")
                times: list[float] = workload(calls)
                return times

            return noted

        references = {rung: loaded(entry) for rung, entry in asked["references"].items()}
        rungs = {entry["key"]: entry["rung"] for entry in asked["entries"]}
        watch = Interleaved(asked["seed"], asked["visit_ms"], references, _say, rungs, asked["process"])
        minutes = math.inf if asked["minutes"] is None else asked["minutes"]
        watch.run({entry["key"]: [loaded(entry)] for entry in asked["entries"]}, asked["turns"], minutes)


class Steps:
    """Says now and then how far a process is in what it does (`what`) before anything is timed."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.begun, self.last = 0, time.monotonic()

    def next(self) -> None:
        self.begun += 1
        if time.monotonic() - self.last >= SAYS_SECONDS:
            self.last = time.monotonic()
            print(f"{AT}{self.what} {self.begun} of {self.total}", flush=True)


def _say(key: str, turn: int, visit: Visit) -> None:
    print(MARK + json.dumps([key, turn, visit.numbers()]), flush=True)


def ask(
    command: Sequence[str],
    requests: Sequence[Request],
    record: Record,
    environment: Mapping[str, str] | None = None,
    told: Told = lambda words: None,
) -> None:
    """Run `command`, which reads `requests` as JSON and answers with visits, and tell `record` of each as it comes.

    `told` is given what it says of its preparations.

    Raises `ValueError` with what the process says is wrong, `Ended` where a signal ended it, `RuntimeError` where it
    broke.
    """
    with tempfile.TemporaryFile("w+") as errors, tempfile.TemporaryDirectory(prefix="nas-slip-") as folder:
        slip = Path(folder) / "slip"
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            try:
                process.stdin.write(json.dumps([{**one, "slip": str(slip)} for one in requests]))
                process.stdin.close()
            except BrokenPipeError:
                pass  # it ended already; why, it says below
            for line in process.stdout:
                if line.startswith(MARK):
                    key, turn, numbers = json.loads(line[len(MARK) :])
                    visit = visit_of(numbers)
                    if visit is None:
                        raise RuntimeError(f"a process that measures gave the visit {numbers!r}, which is no time")
                    record(key, turn, visit)
                elif line.startswith(AT):
                    told(line[len(AT) :].strip())
            process.wait()
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
        if process.returncode:
            errors.seek(0)
            said = errors.read().strip()
            if (number := signal_of(process.returncode)) is not None:
                under = requests[0].get("under", requests[0]["device"]["runtime"])
                last = said.splitlines()[-1][:300] if said else ""
                raise Ended(f"the process that measures under {under}", number, read_slip(slip), last)
            if process.returncode == MISTAKE and said.startswith("Error: "):
                raise ValueError(said.removeprefix("Error: "))
            raise RuntimeError(f"measuring in a new process failed ({process.returncode}): {said[-2000:]}")


def answer_all(load: Callable[[Request, Mapping[str, Any]], Any]) -> None:
    """The other side of `ask`: what a process does that is started to measure."""
    for asked in json.loads(sys.stdin.read()):
        answer(asked, lambda entry, asked=asked: load(asked, entry))  # type: ignore[misc]
