"""`python -m nas.zoo`: the published networks and their figures."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from nas.cli import entry, instantiate, typed
from nas.latency.device import Device
from nas.latency.table import LatencyTable
from nas.progress import log, table
from search_spaces import zoo
from search_spaces.arch import Arch

# Column, its heading on screen, and how a value is shown there.
COLUMNS: dict[str, tuple[str, Any]] = {
    "name": ("name", str),
    "family": ("family", str),
    "params": ("params M", lambda value: f"{value / 1e6:.3f}"),
    "macs": ("MACs M", lambda value: f"{value / 1e6:.1f}"),
    "activations": ("activations M", lambda value: f"{value / 1e6:.2f}"),
    "resolution": ("image px", str),
    "top1_percent": ("top-1 %", lambda value: f"{value:.2f}"),
    "top1_resolution": ("at px", str),
    "latency_ms": ("latency ms", lambda value: f"{value:.2f}"),
    "source": ("source of top-1", str),
}
FORMATS = ("table", "json")


def rows(pattern: str = "*", tables: list[LatencyTable] | None = None) -> list[dict[str, Any]]:
    """One row per published network whose name or family matches `pattern` (a glob, or a part of the name).

    Columns as in `COLUMNS`; `params`, `macs`, `activations` are counts for one image of `resolution` pixels,
    `top1_percent` is None where none is published, `latency_ms` is None where none of `tables` prices the network.
    """
    found = []
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


def tables_of(folder: Path, device: Device) -> list[LatencyTable]:
    """The latency tables of `device` in `folder`."""
    return [LatencyTable.load(path) for path in sorted(folder.glob(f"*-{device.key}.json"))]


@entry("zoo")
def main(cfg: DictConfig) -> None:
    format = typed(cfg, "format", str)
    if format not in FORMATS:
        raise ValueError(f"unknown format={format!r}; one of {', '.join(FORMATS)}")
    device = instantiate(cfg.device)
    tables = tables_of(Path(typed(cfg, "tables", str)), device)
    found = rows(typed(cfg, "filter", str), tables)
    column = typed(cfg, "sort", str | None)
    if column is not None:
        found = sorted_rows(found, column, typed(cfg, "descending", bool))
    if format == "json":
        print(json.dumps(found, indent=1))
        return
    shown = {key: COLUMNS[key] for key in COLUMNS if key != "latency_ms" or tables}
    cells = [[None if row[key] is None else show(row[key]) for key, (_, show) in shown.items()] for row in found]
    table(f"{len(found)} published networks", [heading for heading, _ in shown.values()], cells)
    if not tables:
        log(f"no latency table of {device.key} in {cfg.tables}; python -m nas.latency builds one")


if __name__ == "__main__":
    main()
