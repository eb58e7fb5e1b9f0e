"""Networks to time with any stop-watch, and a csv file of their times, filled in by hand or by a script."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nas.latency.imports.text import decimal_mark, number, of_device, table_lines
from nas.latency.learning.sample import spread_networks
from nas.runs.files import write_text
from search_spaces.pricing.additive import Floats
from search_spaces.space import Genotype, Population, SearchSpace

NETWORK, TIME = "network", "ms"  # the columns beside one for each variable of the space


def write_samples(space: SearchSpace, path: Path, count: int, seed: int) -> Path:
    """Write a row for each of `count` networks that span `space`, without times, and each network's arch beside.

    Returns the folder of the archs: `mine/1.json` and so on for `mine.csv`.
    """
    folder = path.with_suffix("")
    if folder == path:
        raise ValueError(f"file={path} needs an ending, such as {path}.csv: the networks go into the folder {folder}")
    for there in (path, folder):
        if there.exists():
            raise ValueError(f"{there} is there already; name another file, or remove it")
    found = spread_networks(space, count, seed, "stop-watch")
    if len(found) < count:
        raise ValueError(f"{space.name} has only {len(found)} networks that differ; ask for samples={len(found)}")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([NETWORK, *(variable.name for variable in space.variables), TIME])
    for i, (genotype, arch) in enumerate(found, 1):
        write_text(folder / f"{i}.json", arch.to_json())
        rows.writerow([i, *_labels(space, genotype), ""])
    write_text(path, text.getvalue())
    return folder


def _labels(space: SearchSpace, genotype: Genotype) -> Iterator[str]:
    for variable, choice in zip(space.variables, genotype, strict=True):
        yield variable.labels[choice]


def read_times(space: SearchSpace, path: Path, unit_ms: float, source: str | None = None) -> tuple[Population, Floats]:
    """Genotypes and times (ms; `unit_ms` of what the file has) of the rows of `path` that have one; where a column
    `device` tells several apart, of those of `source`.

    Raises `ValueError` naming line and column of what does not fit.
    """
    names = [variable.name for variable in space.variables]
    columns, lines = table_lines(path, [*names, TIME])
    place = columns.index(TIME)
    for line, cells in lines:
        if len(cells) != len(columns):
            raise ValueError(f"line {line} has {len(cells)} cells, the header {len(columns)}")
    lines = list(of_device(columns, lines, source))
    mark = decimal_mark(cells[place] for _, cells in lines)
    genotypes, times = [], []
    for line, cells in lines:
        time = number(cells[place], mark, f"line {line}: {TIME}")
        if time is None:
            continue
        if not 0 < time < float("inf"):
            raise ValueError(f"line {line}: {TIME} is {time:g}; a time is greater than 0")
        genes = []
        for variable in space.variables:
            label, known = cells[columns.index(variable.name)], variable.labels
            if label not in known:
                raise ValueError(
                    f"line {line}: {variable.name} is {label!r}; {space.name} has {', '.join(known)} there"
                )
            genes.append(known.index(label))
        genotypes.append(genes)
        times.append(time * unit_ms)
    return np.array(genotypes, np.int64).reshape(-1, len(names)), np.array(times)
