"""Files that list a time for each candidate of each searched position."""

from __future__ import annotations

from pathlib import Path

from nas.latency.device import Device
from nas.latency.imports.cells import NO_SKIP, UNITS, Cell, milliseconds, table_of_positions
from nas.latency.imports.text import decimal_mark, is_number, number, of_device, table_lines, text_lines
from nas.latency.tables import fields
from nas.latency.tables.table import LatencyTable
from nas.runs.files import read_json
from search_spaces.families.single_path import single_path
from search_spaces.resolution import canonical
from search_spaces.space import LayerwiseSpace, Position, SearchSpace

# How some files call FBNet's blocks; `s2` is "two groups (shuffled)", not a stride.
ALIASES = {"s2": "e1_g2"}
REST_ZERO = "stem and head are not in the file and cost nothing here"


def read_csv(
    path: Path, *, space: SearchSpace, device: Device, source: str | None, unit: str | None, repair: bool
) -> LatencyTable:
    """Plain CSV with a header: `position,candidate,<ms|us|s>`, optionally `device` (chosen by `source`).

    A position is its name or number from 1; `fixed` as position holds what no position does (stem, head).
    """
    layered = _layerwise(space)
    numbers = {name: i for i, p in enumerate(layered.positions) for name in (p.name, str(i + 1))}
    columns, rows = table_lines(path, ("position", "candidate"))
    units = [name for name in UNITS if name in columns]
    if len(units) != 1:
        raise ValueError(f"expected the columns position, candidate and one of ms, us, s; got {', '.join(columns)}")
    if unit is not None and unit != units[0]:
        raise ValueError(f"the file states {units[0]!r}, unit={unit} contradicts it")
    named = [(f"line {n} ({', '.join(row[:2])})", row) for n, row in rows]
    for where, row in named:
        if len(row) != len(columns):
            raise ValueError(f"{where} has another number of columns than the header ({len(row)}, not {len(columns)})")
    lines = [(where, dict(zip(columns, row, strict=True))) for where, row in of_device(columns, named, source)]
    mark = decimal_mark(line[units[0]] for _, line in lines)
    factor = milliseconds(units[0])
    cells: dict[tuple[int, int], Cell] = {}
    offset, rest = 0.0, REST_ZERO
    for where, line in lines:
        value = number(line[units[0]], mark, where)
        if line["position"] == "fixed":
            if value is None or not 0 <= value < float("inf"):
                raise ValueError(f"{where} is {line[units[0]]!r}")
            offset, rest = offset + value * factor, "stem and head are part of the offset"
            continue
        if line["position"] not in numbers:
            raise ValueError(f"{where}: {space.name} has no such position; 1..{len(layered.positions)} or their names")
        position = numbers[line["position"]]
        labels = layered.variables[position].labels
        if line["candidate"] not in labels:
            raise ValueError(f"{where}: the candidates of this position are {', '.join(labels)}")
        key = position, labels.index(line["candidate"])
        if key in cells:
            raise ValueError(f"{where} is listed twice, first in {cells[key].where}")
        cells[key] = Cell(None if value is None else value * factor, where)
    return table_of_positions(layered, cells, device, offset_ms=offset, rest=rest, repair=repair)


def read_text(
    path: Path, *, space: SearchSpace, device: Device, source: str | None, unit: str | None, repair: bool
) -> LatencyTable:
    """Text with one line a position and one number a candidate, separated by blanks, tabs or semicolons.

    A header names the columns; without one they are the candidates of the space in order. A column for a candidate that
    a position does not have is ignored, and a line may leave it out. (AnnaAraslanova/FBNet's table, in us; JunrQ/NAS's,
    in ms, without a header.)
    """
    layered = _layerwise(space)
    lines = [
        (n, [word.strip() for word in line.split(";")] if ";" in line else line.split()) for n, line in text_lines(path)
    ]
    order = max((variable.labels for variable in layered.variables), key=len)
    if lines and not all(is_number(word) for word in lines[0][1]):
        order = tuple(_own_name(word) for word in lines.pop(0)[1])
        unknown = [name for name in order if not any(name in v.labels for v in layered.variables)]
        if unknown:
            raise ValueError(f"the header names {unknown[0]!r}, which no position of {space.name} has")
    if len(lines) != len(layered.positions):
        raise ValueError(f"{len(lines)} lines of numbers, but {space.name} has {len(layered.positions)} positions")
    factor = milliseconds(unit)
    mark = decimal_mark(word for _, words in lines for word in words)
    cells = {}
    for i, (n, words) in enumerate(lines):
        labels = layered.variables[i].labels
        own = tuple(name for name in order if name in labels)
        names = order if len(words) == len(order) else own
        if len(words) != len(names):
            short = len(words) == len(own) - 1 and _skip_is_a_block(layered.positions[i])
            raise ValueError(
                f"line {n} (layer {i + 1}) has {len(words)} numbers instead of {len(names)}" + f"; {NO_SKIP}" * short
            )
        for name, word in zip(names, words, strict=True):
            if name in labels:
                where = f"line {n} (layer {i + 1}), {name}"
                value = number(word, mark, where)
                cells[i, labels.index(name)] = Cell(None if value is None else value * factor, where)
    return table_of_positions(layered, cells, device, rest=REST_ZERO, repair=repair)


def read_hwnasbench(
    path: Path, *, space: SearchSpace, device: Device, source: str | None, unit: str | None, repair: bool
) -> LatencyTable:
    """HW-NAS-Bench's FBNet table as JSON: `ops`, `layers` and, per device, `base_ms` and `table_ms`.

    Its geometry must be the space's (`space.resolution=32 space.num_classes=100 space.head_channels=1504`).
    """
    layered = _layerwise(space)
    data = read_json(path, "HW-NAS-Bench table")
    try:
        if data["units"] != (unit or data["units"]):
            raise ValueError(f"the file states {data['units']!r}, unit={unit} contradicts it")
        factor = milliseconds(data["units"])
        if source not in data["devices"]:
            given = "" if source is None else f"it has no {source!r}; "
            raise ValueError(f"{given}give source=..., one of {', '.join(data['devices'])}")
        ops, layers, chosen = fields.listing(data["ops"], "ops"), data["layers"], data["devices"][source]
        if not ops:
            raise ValueError("ops, the list of options, is empty")
        times, base = chosen["table_ms"], fields.number(chosen["base_ms"], "base_ms", 0.0)
        if not len(times) == len(layers) == len(layered.positions):
            raise ValueError(f"{len(times)} layers of times, {len(layers)} layers, {len(layered.positions)} positions")
        cells = {}
        for i, (row, layer, position) in enumerate(zip(times, layers, layered.positions, strict=True)):
            shape = position.shape
            mine = (canonical(shape[1:]), shape.channels, position.candidates[0].out_shape(shape).channels)
            theirs = (layer["h_in"], layer["c_in"], layer["c_out"])
            if mine != theirs:
                raise ValueError(
                    f"layer {i + 1} has map height, input and output channels {', '.join(map(str, theirs))}, "
                    f"{space.name} has {', '.join(map(str, mine))}; this table is for "
                    "space.resolution=32 space.num_classes=100 space.head_channels=1504"
                )
            if len(row) != len(ops):
                raise ValueError(f"layer {i + 1} has {len(row)} numbers instead of {len(ops)}")
            for name, value in zip(ops, row, strict=True):
                if name in position.labels:
                    where = f"layer {i + 1}, {name}"
                    cells[i, position.labels.index(name)] = Cell(_ms(value, factor, where), where)
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a HW-NAS-Bench FBNet table: {error!r}") from None
    rest = "stem, head and what an all-skip network costs are part of the offset"
    return table_of_positions(layered, cells, device, offset_ms=base * factor, rest=rest, repair=repair)


SINGLE_PATH_REST_MS = 19.5999  # stem, head, logits, first and last block (the search code of Single-Path NAS)
SINGLE_PATH_SKIP_MS = 0.0  # a repeat that is left out (the search code lists 0.7, but never reads it)
SINGLE_PATH_COLUMNS = ("k3_e3", "k3_e6", "k5_e3", "k5_e6")


def read_single_path(
    path: Path, *, space: SearchSpace, device: Device, source: str | None, unit: str | None, repair: bool
) -> LatencyTable:
    """Single-Path NAS's runtime model: JSON, block "0".."21" -> column "0".."3" -> ms; blocks 1 to 20 are searched."""
    data = read_json(path, "Single-Path NAS runtime model")
    positions = single_path()
    factor = milliseconds(unit or "ms")
    if not isinstance(data, dict) or not all(isinstance(block, dict) for block in data.values()):
        raise ValueError("not a Single-Path NAS runtime model: expected block -> column -> time")
    unknown = sorted(set(data) - {str(i) for i in range(22)})
    if unknown:
        raise ValueError(f"there is no block {unknown[0]!r}; blocks are 0 to 21")
    cells = {}
    for i, position in enumerate(positions.positions):
        for c, name in enumerate(SINGLE_PATH_COLUMNS):
            value = data.get(str(i + 1), {}).get(str(c))
            where = f"block {i + 1}, {name}"
            cells[i, c] = Cell(_ms(value, factor, where), where)
        if "skip" in position.labels:
            cells[i, position.labels.index("skip")] = Cell(SINGLE_PATH_SKIP_MS, f"block {i + 1}, skip")
    rest = f"stem, head, first and last block are the {SINGLE_PATH_REST_MS} ms of the search code, in the offset"
    return table_of_positions(positions, cells, device, offset_ms=SINGLE_PATH_REST_MS, rest=rest, repair=repair)


def _layerwise(space: SearchSpace) -> LayerwiseSpace:
    if not isinstance(space, LayerwiseSpace):
        raise ValueError(f"this format lists positions; {space.name} is not a layer-wise space")
    return space


def _ms(value: object, factor: float, where: str) -> float | None:
    """The time of a JSON file; None where it has none."""
    if value is None or value != value:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{where} is {str(value)[:40]!r}, which is not a number")
    return float(value) * factor


def _skip_is_a_block(position: Position) -> bool:
    """Whether leaving `position` out is a candidate that does something, as the shape must change there."""
    return any(layer.leaves_out and layer.table_row(position.shape) is not None for layer in position.candidates)


def _own_name(name: str) -> str:
    parts = name.removeprefix("ir_").split("_")
    return "_".join(ALIASES.get(part, part) for part in parts)
