"""Measured times of references, kept beside the table that they are compared by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from nas.latency.measuring.journal import seal
from nas.latency.measuring.network_time import NetworkTime
from nas.latency.tables.origin import measured_by
from nas.latency.tables.table import LatencyTable
from nas.runs.files import write_json
from nas.runs.stored import NonNegative, Positive, Schema, read_record, record
from nas.terminal.progress import log
from search_spaces.plain_data.identity import Identity, digest, plain

STANDS_AT = ("calm_ms", "elasticity")  # of a table's environment
FORMAT = "nas.reference_times"
FIELDS: Schema = {"format": str, "identity": dict, "times": dict, "digest": str}
TIME: Schema = {
    **dict.fromkeys(("latency_ms", "now_ms", "spread_ms", "slowdown", "error"), NonNegative),
    "processes": Positive,
}


def place(table: Path) -> Path:
    """Where the times beside the table in the file `table` lie."""
    return table.with_suffix(".references")


def identity_of(table: LatencyTable) -> Identity:
    """All that a time depends on beside its network: who measures, and the calm speed that it stands at."""
    return {
        **measured_by(table.device, table.environment),
        "calm": digest([table.environment.get(name) for name in STANDS_AT]),
    }


def read_times(path: Path, table: LatencyTable) -> dict[str, NetworkTime]:
    """The times by arch that `path` keeps; none where there are none, or where they are not of the machine of `table`
    as it is, or damaged: then they are measured anew."""
    if not path.exists():
        return {}
    try:
        stored = read_record(path, "times of references", FIELDS)
        if stored["format"] != FORMAT or stored["digest"] != seal(stored, "digest"):
            raise ValueError("its content does not match its digest")
        if stored["identity"] != plain(identity_of(table)):
            raise ValueError("it belongs to another table, machine or version")
        times = {arch: record(time, TIME, "a time") for arch, time in stored["times"].items()}
        return {arch: NetworkTime(**{f.name: time[f.name] for f in FIELDS_OF_TIME}) for arch, time in times.items()}
    except (ValueError, TypeError) as error:
        log(f"{path} is not used, references are measured anew: {error}")
        return {}


def keep_times(path: Path, table: LatencyTable, times: Mapping[str, NetworkTime]) -> None:
    """Add `times` by arch to those in `path`."""
    known = {**read_times(path, table), **times}
    content = {
        "format": FORMAT,
        "identity": plain(identity_of(table)),
        "times": {arch: dataclasses.asdict(time) for arch, time in sorted(known.items())},
    }
    write_json(path, {**content, "digest": seal(content, "digest")})


FIELDS_OF_TIME = dataclasses.fields(NetworkTime)
