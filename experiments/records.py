"""`results.jsonl`: one record a line, written whole after every finished piece, so that an experiment can continue."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.runs.files import write_text

Record = dict[str, Any]


def read(file: Path) -> list[Record]:
    """The records of `file`."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def finished(file: Path) -> list[Record]:
    """What an earlier run wrote to `file`; nothing where there was none."""
    return read(file) if file.exists() else []


def write(file: Path, records: Sequence[Record]) -> None:
    """Make `file` hold `records`."""
    write_text(file, "".join(json.dumps(record) + "\n" for record in records))


class Results:
    """What an experiment has finished: the records of `file`, an earlier run's in front. Threads may add to it."""

    def __init__(self, file: Path) -> None:
        self.file, self.found = file, finished(file)
        self._lock = threading.Lock()

    def add(self, record: Record) -> Record:
        """`record`, which is kept and printed, its arch aside."""
        with self._lock:
            self.found.append(record)
            write(self.file, self.found)
            print(json.dumps({name: value for name, value in record.items() if name != "arch"}), flush=True)
        return record
