"""A CSV file with one time per row of a table, for every space: also for those whose widths are searched."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from nas.latency.device import Device
from nas.latency.imports.cells import UNITS, Cell, check_rate
from nas.latency.imports.text import decimal_mark, number, table_lines
from nas.latency.tables.table import LatencyTable, Row, all_entries, entries, grain, row_key
from nas.runs.files import write_text
from search_spaces.space import SearchSpace

OFFSET = "offset"
ENERGY = "energy_mj"


def write_layers(space: SearchSpace, path: str | Path) -> int:
    """Write the rows that a table of `space` needs to the new CSV file `path`, times left empty; how many they are.

    Columns: `block` (for people), `layer` and `input` (what is timed, on which channels x height x width), `ms`.
    """
    path = Path(path)
    if path.exists():
        raise ValueError(f"{path} exists; name a new file for the rows")
    rows = entries(space)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["block", "layer", "input", "ms"])
    for layer, shape in rows:
        writer.writerow([layer.label, json.dumps(layer.to_dict(), sort_keys=True), "x".join(map(str, shape)), ""])
    writer.writerow(["what every network takes beside its layers", OFFSET, "", "0"])
    write_text(path, out.getvalue())
    return len(rows)


def read_layers(
    path: Path, *, space: SearchSpace, device: Device, source: str | None, unit: str | None, repair: bool
) -> LatencyTable:
    """What `write_layers` wrote, with times: columns `layer`, `input` and one of `ms`, `us`, `s`.

    A column `energy_mj` of millijoules, where there is one, holds a number for every layer; the table then answers
    budgets on energy.
    """
    if repair:
        raise ValueError("this format lists each row once, so there is nothing to repair it by")
    columns, lines = table_lines(path, ("layer", "input"))
    units = [name for name in UNITS if name in columns]
    if len(units) != 1 or unit not in (None, units[0]):
        raise ValueError(f"expected one column of ms, us, s, and no other unit=; got {', '.join(columns)}")
    wanted = {row_key(*row): row for row in entries(space)}
    at = {name: columns.index(name) for name in ("layer", "input", units[0], ENERGY) if name in columns}
    for n, line in lines:
        if len(line) != len(columns):
            raise ValueError(f"line {n} has {len(line)} columns, the header {len(columns)}")
    mark = decimal_mark(line[at[name]] for _, line in lines for name in (units[0], ENERGY) if name in at)
    found: dict[str, Cell] = {}
    energies: dict[str, float] = {}
    offset_ms = 0.0
    for n, line in lines:
        value = number(line[at[units[0]]], mark, f"line {n}")
        if value is None or not 0 <= value < float("inf"):
            raise ValueError(f"line {n} has the time {line[at[units[0]]]!r}; every row needs one of at least 0")
        if line[at["layer"]] == OFFSET:
            if ENERGY in at and number(line[at[ENERGY]], mark, f"line {n}"):
                raise ValueError(f"line {n}: energy beside the layers belongs to one of them, such as the first")
            offset_ms += value * UNITS[units[0]]
            continue
        key = _key(line[at["layer"]], line[at["input"]])
        if key not in wanted:
            raise ValueError(f"line {n}: {space.name} has no such layer at this input; action=rows writes those it has")
        if key in found:
            raise ValueError(f"line {n} is listed twice, first in {found[key].where}")
        found[key] = Cell(value * UNITS[units[0]], f"line {n}")
        if ENERGY in at:
            energies[key] = _energy(line[at[ENERGY]], mark, f"line {n}")
    missing = [wanted[key] for key in wanted if key not in found]
    if missing:
        layer, shape = missing[0]
        raise ValueError(f"{len(missing)} rows are missing, the first is {layer.label} at input {tuple(shape)}")
    if not energies or any(cell.ms for cell in found.values()):  # a table of energy alone has no times
        check_rate({wanted[key]: [cell] for key, cell in found.items()}, device.batch_size)
    rows = tuple(
        Row(*wanted[key], cell.ms or 0.0, 0.0, 0, grain(cell.ms or 0.0), energies.get(key))
        for key, cell in found.items()
    )
    calibration = {"model": "none (imported)", "notes": []}
    others = len(all_entries(space)) - len(rows)
    between = {"rows": float(others)} if others else None
    return LatencyTable(space.name, device, rows, grain(offset_ms), None, calibration, interpolation=between)


def _energy(word: str, mark: str, where: str) -> float:
    value = number(word, mark, where)
    if value is None or not 0 <= value < float("inf"):
        raise ValueError(f"{where} has the energy {word!r}; every row needs one of at least 0, or none has the column")
    return value


def _key(layer: str, shape: str) -> str | None:
    """The key of the row that a line names; None where it names none."""
    try:
        return json.dumps(
            [json.loads(layer), [int(n) for n in shape.split("x")]], sort_keys=True, separators=(",", ":")
        )
    except (ValueError, RecursionError):
        return None
