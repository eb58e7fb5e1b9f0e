"""`python -m nas.zoo`: the published networks and their figures."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from nas.latency.devices import device_of
from nas.latency.tables.table import LatencyTable
from nas.terminal.entry import entry, instantiate, typed
from nas.terminal.progress import log, table
from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.memory.counted import Counted

NAME_WIDTH = 22  # characters; longer names go on in a second line


def folded(name: str, width: int = NAME_WIDTH) -> str:
    """`name` in lines of at most `width` characters, broken behind underscores."""
    lines = [""]
    for part in re.findall(r"[^_]*_?", name):
        if len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def mebibytes(kib: float) -> str:
    """`kib` in MiB, in four characters."""
    mib = kib / 1024
    return f"{mib:.{2 if mib < 9.995 else 1 if mib < 99.95 else 0}f}"


# Column, its heading on screen, and how a value is shown there. Families are headings of their networks, and sources
# are listed below the table, so that it fits a terminal of 80 characters.
COLUMNS: dict[str, tuple[str, Any]] = {
    "name": ("name", folded),
    "family": ("family", str),
    "params": ("params\nM", lambda value: f"{value / 1e6:.3f}"),
    "macs": ("MACs\nM", lambda value: f"{value / 1e6:.1f}"),
    "activations": ("acts\nM", lambda value: f"{value / 1e6:.2f}"),
    "memory_kib": ("mem\nMiB", mebibytes),
    "weights_kib": ("weights\nKiB", lambda value: f"{value:.0f}"),
    "resolution": ("px", str),
    "top1_percent": ("top-1\n%", lambda value: f"{value:.2f}"),
    "top1_resolution": ("at\npx", str),
    "latency_ms": ("latency\nms", lambda value: f"{value:.2f}"),
    "source": ("by", str),
}
FORMATS = ("table", "json")
NOT_SHOWN = ("family", "weights_kib")  # on screen: headings, and what `params` say of one arithmetic
WIDE = 90  # characters of a terminal that has room for activations beside memory


def rows(
    pattern: str = "*", tables: list[LatencyTable] | None = None, counted: Counted | None = None
) -> list[dict[str, Any]]:
    """One row per published network whose name or family matches `pattern` (a glob, or a part of the name).

    Columns as in `COLUMNS`; `params`, `macs`, `activations` are counts for one image of `resolution` pixels,
    `memory_kib` the peak of activations alive at once and `weights_kib` those of weights, as `counted` (None: fp32),
    `top1_percent` is None where none is published, `latency_ms` is None where none of `tables` prices the network.
    """
    found, counted = [], counted or Counted()
    for name, family in zoo.FAMILY_OF.items():
        if not (fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(family, pattern) or pattern in name):
            continue
        arch = zoo.published(name)
        figures = zoo.FIGURES.get(name)
        found.append(
            {
                "name": name,
                "family": family,
                **arch.cost._asdict(),
                "memory_kib": arch.memory_kib(counted),
                "weights_kib": arch.weights_kib(counted),
                "resolution": arch.resolution,
                "top1_percent": figures and figures.top1_percent,
                "top1_resolution": figures and figures.resolution,
                "latency_ms": estimate_ms(arch, tables or []),
                "source": figures and figures.source,
            }
        )
    if not found:
        raise ValueError(f"no published network matches filter={pattern!r}; {zoo.nearest(pattern)}")
    return found


def estimate_ms(arch: Arch, tables: list[LatencyTable]) -> float | None:
    """Milliseconds of `arch` by the first of `tables` that has all its layers."""
    for priced in tables:
        try:
            return priced.estimate_ms(arch)
        except ValueError:  # the table is for another space
            continue
    return None


def sorted_rows(found: list[dict[str, Any]], column: str, descending: bool) -> list[dict[str, Any]]:
    """`found` by `column`; rows without a value come last."""
    if column not in COLUMNS:
        raise ValueError(f"unknown column sort={column!r}; one of {', '.join(COLUMNS)}")
    known = [row for row in found if row[column] is not None]
    known.sort(key=lambda row: row[column], reverse=descending)
    return known + [row for row in found if row[column] is None]


def family_headings(found: list[dict[str, Any]]) -> dict[int, str]:
    """The title of each family by the number of its first row, for rows in the zoo's order."""
    first: dict[str, int] = {}
    for index, row in enumerate(found):
        first.setdefault(row["family"], index)
    return {index: zoo.FAMILIES[family].title for family, index in first.items()}


@entry("zoo")
def main(cfg: DictConfig) -> None:
    format = typed(cfg, "format", str)
    if format not in FORMATS:
        raise ValueError(f"unknown format={format!r}; one of {', '.join(FORMATS)}")
    device = device_of(instantiate(cfg.device))
    tables = list(device.tables_in(Path(typed(cfg, "tables", str))).values())
    counted = Counted.of_device(device.key.dtype)
    found = rows(typed(cfg, "filter", str), tables, counted)
    column = typed(cfg, "sort", str | None)
    if column is not None:
        found = sorted_rows(found, column, typed(cfg, "descending", bool))
    if format == "json":
        print(json.dumps(found, indent=1))
        return
    hidden = NOT_SHOWN if shutil.get_terminal_size().columns >= WIDE else (*NOT_SHOWN, "activations")
    priced = any(row["latency_ms"] is not None for row in found)
    shown = {key: COLUMNS[key] for key in COLUMNS if key not in hidden and (key != "latency_ms" or priced)}
    sources = list(dict.fromkeys(row["source"] for row in found if row["source"]))
    marked = [row | {"source": row["source"] and f"[{sources.index(row['source']) + 1}]"} for row in found]
    cells = [[None if row[key] is None else show(row[key]) for key, (_, show) in shown.items()] for row in marked]
    begins = {} if column else family_headings(found)
    table(f"{len(found)} published networks", [heading for heading, _ in shown.values()], cells, begins)
    accuracy = "; top-1 at the size `at px`, from" if sources else ""
    log(f"params, MACs and activations in millions, for one image of the size `px`{accuracy}")
    log(f"mem: activations alive at once, at most, in {counted.dtype} (device.dtype=int8 counts those of 8 bits)")
    for number, source in enumerate(sources, start=1):
        log(f"  [{number}] {source}")
    if not priced:
        log(f"no latency table of {device.key} in {cfg.tables} prices these; `python -m nas.latency` builds FBNet's")


if __name__ == "__main__":
    main()
