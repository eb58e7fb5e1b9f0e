"""`metrics.jsonl`: the figures of every epoch or candidate, in the order an uninterrupted run has them."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from nas.runs.files import write_atomic, write_text
from nas.runs.watching.trackers import Trackers
from nas.terminal.progress import log
from search_spaces.plain_data import plain_json

FILE = "metrics.jsonl"
PHASES = ("pretrain", "search", "train")  # in the order a run has them; any other comes last

Record = dict[str, Any]  # phase, step, time (seconds since 1970) and named figures


class Metrics:
    """The records of one run directory; the same numbers are in `tensorboard/`, and go to the `trackers` if any."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / FILE
        self._file: IO[str] | None = None
        self._board: Any = None
        self.trackers: Trackers | None = None
        self._last: int | None = None  # the latest phase on file
        self._forgotten: dict[tuple[str, int], Record] = {}

    def log(self, phase: str, step: int, values: Record) -> None:
        """Add one record, behind those of its phase and before those of later phases, which a search repeated in part
        leaves as they are. What was forgotten and comes out the same keeps its time.
        """
        record: Record = {"phase": phase, "step": step, "time": round(time.time(), 3)}
        record |= {name: _plain(value) for name, value in values.items()}
        if self.trackers is not None:
            self.trackers.log(record)
        earlier = self._forgotten.pop((phase, step), None)
        if earlier is not None and {**record, "time": earlier["time"]} == earlier:
            record = earlier
        if self._last is None:
            self._last = max((_rank(known["phase"]) for known in self.read()), default=0)
        if _rank(phase) < self._last:
            self._insert(record)
            return
        self._last = _rank(phase)
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8")
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        self._file.flush()
        self._show(record)

    def read(self) -> list[Record]:
        """All records, in order."""
        return read_metrics(self.folder)

    def rewind(self, phase: str, step: int) -> None:
        """Forget the records of `phase` from `step` on."""
        records = self.read()
        forgotten = [r for r in records if r["phase"] == phase and r["step"] >= step]
        if forgotten:
            self._forgotten = {(r["phase"], r["step"]): r for r in forgotten}
            self._write([r for r in records if not (r["phase"] == phase and r["step"] >= step)])

    def repair(self) -> None:
        """Remove a last line that a killed process wrote in part, and damaged lines, which are named and kept aside."""
        if not self.path.is_file():
            return
        content = self.path.read_bytes()
        good, faults = [], []
        for number, line in enumerate(content.splitlines(keepends=True), start=1):
            if not line.endswith(b"\n"):
                continue
            try:
                good.append(_record(line))
            except ValueError as error:
                faults.append(f"line {number} ({error})")
        if faults:
            aside = self.path.with_name("metrics.damaged.jsonl")

            def copy(temporary: Path) -> None:
                temporary.write_bytes(content)

            write_atomic(aside, copy)
            log(f"{self.path} is damaged and read without {', '.join(faults[:3])}; all of it is kept as {aside}")
        if faults or not content.endswith(b"\n"):
            self._write(good)

    def track(self, names: Sequence[str], settings: Mapping[str, Any]) -> None:
        """Send what is recorded from here on to the trackers called `names` too, and `settings` once."""
        if names:
            self.trackers = Trackers(names, self.folder, settings)

    def end(self) -> None:
        """Close, and end what tracks it."""
        trackers, self.trackers = self.trackers, None
        if trackers is not None:
            trackers.close()
        self.close()

    def close(self) -> None:
        """Let go of the files. Raises `OSError` where what is left cannot be written."""
        file, self._file = self._file, None
        board, self._board = self._board, None
        try:
            if file is not None:
                file.close()
        finally:
            if board is not None:
                board.close()

    def _insert(self, record: Record) -> None:
        records = self.read()
        place = next(i for i, known in enumerate(records) if _rank(known["phase"]) > _rank(record["phase"]))
        self._write([*records[:place], record, *records[place:]])

    def _write(self, records: list[Record]) -> None:
        self.close()
        self._last = None
        write_text(self.path, "".join(json.dumps(record) + "\n" for record in records))
        shutil.rmtree(self.folder / "tensorboard", ignore_errors=True)  # made anew from the records with the next one

    def _show(self, record: Record) -> None:
        if self._board is None:
            # Event files cannot be rewound, so they are written anew from the records we keep.
            from torch.utils.tensorboard import SummaryWriter

            shutil.rmtree(self.folder / "tensorboard", ignore_errors=True)
            self._board = SummaryWriter(str(self.folder / "tensorboard"))
            for earlier in self.read()[:-1]:
                self._add_scalars(earlier)
        self._add_scalars(record)

    def _add_scalars(self, record: Record) -> None:
        for name, value in record.items():
            if name not in ("phase", "step", "time") and isinstance(value, int | float):
                self._board.add_scalar(f"{record['phase']}/{name}", value, record["step"], walltime=record["time"])


def read_metrics(folder: str | Path) -> list[Record]:
    """The records of a run's `metrics.jsonl`, in order; an incomplete last line is ignored.

    Raises `ValueError` naming the first damaged line.
    """
    file = Path(folder) / FILE
    if not file.is_file():
        return []
    records = []
    for number, line in enumerate(file.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            break
        try:
            records.append(_record(line))
        except ValueError as error:
            raise ValueError(f"{file}, line {number} is damaged: {error}; remove that line") from None
    return records


def _record(line: bytes) -> Record:
    """The record in one line. Raises `ValueError` where it is none."""
    try:
        record = plain_json.parse(line.decode())
    except UnicodeDecodeError:
        raise ValueError("it is not text") from None
    if not isinstance(record, dict):
        raise ValueError(f"a record is a mapping, this is a {type(record).__name__}")
    for key, kinds in (("phase", str), ("step", int), ("time", int | float)):
        if not isinstance(record.get(key), kinds) or isinstance(record[key], bool):
            raise ValueError(f"{key} is {record.get(key)!r}")
    wrong = next((key for key, value in record.items() if isinstance(value, dict | list)), None)
    if wrong is not None:
        raise ValueError(f"{wrong} is neither a number nor a string")
    return record


def _rank(phase: str) -> int:
    return PHASES.index(phase) if phase in PHASES else len(PHASES)


def _plain(value: Any) -> float | int | str | None:
    """`value` as JSON can hold it: scalars of numpy and torch become Python's, NaN and infinity become None."""
    if value is None or isinstance(value, bool | int | str):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
