"""`results.jsonl`: one record a line, written whole after every finished piece, so that an experiment can continue."""

from __future__ import annotations

import json
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
