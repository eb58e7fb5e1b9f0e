"""Experiments whose pieces are long trainings: a table measured once, and a command that collects or reports."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.tables.table import LatencyTable
from search_spaces.space import SearchSpace


def measured_table(space: SearchSpace, device: Device, out: Path) -> LatencyTable:
    """The table kept in `out`, measured where there is none: all pieces of an experiment are priced alike."""
    if not (out / "table.json").exists():
        build_table(space, device, out / "tables").save(out / "table.json")
    return LatencyTable.load(out / "table.json", space, device)


def collect_or_report(
    description: str | None,
    out: str,
    collect: Callable[..., None],
    report: Callable[[Path], None],
    **counts: tuple[int | str, str],
) -> None:
    """The command line: `collect(data, out, **counts)` runs what is missing, `report(file)` reads.

    `counts`: further whole numbers, or texts, each with its default and its meaning.
    """
    parser = data_parser(description, out)
    for name, (default, meaning) in counts.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=meaning)
    options = vars(data_options(parser))
    data, folder, file = options.pop("data"), options.pop("out"), options.pop("report")
    if file:
        report(file)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        collect(data, folder, **options)


def data_parser(description: str | None, out: str) -> argparse.ArgumentParser:
    """What all of them ask: data and a folder to run, a file to report."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--data", help="images as .npz (x_train, y_train, x_test, y_test) or torchvision's folder; Fashion-MNIST's"
    )
    parser.add_argument("--out", type=Path, default=Path(out), help="table, runs, results")
    parser.add_argument("--report", type=Path, help="print the tables of this results.jsonl instead")
    return parser


def data_options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, of which `--data` or `--report` was given; torch computes in one thread from here on."""
    options = parser.parse_args()
    if not (options.data or options.report):
        parser.error("--data (to run) or --report (to read) is needed")
    torch.set_num_threads(1)
    return options
