"""Networks by the tables of several devices: their times, their ranks, and how far the devices agree on them."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.latency.device import LOCAL
from nas.latency.tables.table import LatencyTable
from nas.runs.files import write_atomic, write_text
from nas.terminal import progress
from predictors.metrics import kendall_tau
from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.resolution import canonical
from search_spaces.space import SearchSpace


@dataclass(frozen=True)
class Comparison:
    """Milliseconds `ms` (networks, devices) of the networks called `names` on the devices called `devices`."""

    names: tuple[str, ...]
    devices: tuple[str, ...]
    ms: np.ndarray

    @property
    def ranks(self) -> np.ndarray:
        """(networks, devices): 1 for the fastest network on a device; equal times share the better rank."""
        return 1 + (self.ms[None] < self.ms[:, None]).sum(axis=1)

    def agreement(self) -> np.ndarray:
        """(devices, devices): Kendall's tau of the times on any two devices."""
        count = len(self.devices)
        found = [[kendall_tau(self.ms[:, a], self.ms[:, b]) for b in range(count)] for a in range(count)]
        return np.array(found)


def load_tables(files: Sequence[str]) -> dict[str, LatencyTable]:
    """The tables in `files` by what tells them apart: the name of the device, its key, or the name of the file.

    The name alone where runtime, arithmetic, batch size and threads are everywhere the same.
    """
    tables = [LatencyTable.load(file) for file in files]
    alike = len({dataclasses.replace(table.device, name=LOCAL) for table in tables}) == 1
    names = [table.device.name for table in tables] if alike else [], [table.device.key for table in tables]
    for told in (*names, [Path(file).stem for file in files]):
        if len(set(told)) == len(tables):
            return dict(zip(told, tables, strict=True))
    raise ValueError(f"the tables {', '.join(files)} are of one device and called alike; name different ones")


def compare(devices: Mapping[str, LatencyTable], networks: Mapping[str, Arch]) -> Comparison:
    """The published networks at the geometry that all tables share, and `networks`, that the tables of all `devices`
    price.

    Raises `ValueError` where these are fewer than two.
    """
    tables = list(devices.values())
    found: dict[str, Arch | None] = {}
    for name in zoo.FAMILY_OF:
        first, *others = (_published(name, table) for table in tables)
        found[name] = first if all(other == first for other in others) else None
    found |= networks
    priced = {name: [_estimate(table, arch) for table in tables] for name, arch in found.items()}
    known = {name: times for name, times in priced.items() if all(ms is not None for ms in times)}
    if left_out := len(networks.keys() - known.keys()):
        progress.log(f"{left_out} of the {len(networks)} networks of yours are left out: a table lacks their rows")
    if len(known) < 2:
        raise ValueError(
            f"{len(known)} networks are priced by all of the tables; name tables of one space and size, and give "
            "run=... or samples=20 for networks of that space=..."
        )
    return Comparison(tuple(known), tuple(devices), np.array(list(known.values()), dtype=np.float64))


def found_networks(run: str | Path) -> dict[str, Arch]:
    """The networks in a run directory: of its search, and those that `nas.derive` wrote into it; each once."""
    folders = [Path(run), *(path.parent for path in sorted(Path(run).glob("*/derived.json")))]
    paths = [path for folder in folders for path in sorted(folder.glob("arch*.json"))]
    if not paths:
        raise ValueError(f"run={run} holds no found networks")
    found: dict[Arch, Path] = {}
    for path in paths:
        found.setdefault(Arch.load(path), path)
    return {str(path.relative_to(Path(run).parent)): arch for arch, path in found.items()}


def random_networks(space: SearchSpace, count: int, seed: int) -> dict[str, Arch]:
    """`count` networks of `space`, drawn uniformly."""
    population = space.sample(count, np.random.default_rng(seed))
    return {f"random {i}": space.decode(genotype) for i, genotype in enumerate(population, start=1)}


def _published(name: str, table: LatencyTable) -> Arch | None:
    """The published network at the size, channels and classes of the networks that `table` is of."""
    largest = max((row.shape for row in table.rows_), key=lambda shape: (shape.height * shape.width, -shape.channels))
    classes = [row.layer.out_shape(row.shape).channels for row in table.rows_ if row.layer.role == "classifier"]
    if not classes:
        return None
    try:
        return zoo.published(name, classes[0], canonical(largest[1:]), largest.channels)
    except ValueError:  # it cannot be had at this size
        return None


def _estimate(table: LatencyTable, arch: Arch | None) -> float | None:
    try:
        return None if arch is None else table.estimate_ms(arch)
    except ValueError:  # the table is of other layers
        return None


def show(found: Comparison, path: Path) -> None:
    """Print times and ranks and the agreement of the devices; write them to `path` (csv), a picture of ranks beside."""
    ranks, order = found.ranks, np.argsort(found.ms[:, 0], kind="stable")
    rows = [
        (found.names[i], *(f"{ms:.4g} ({rank})" for ms, rank in zip(found.ms[i], ranks[i], strict=True))) for i in order
    ]
    progress.table("milliseconds, and rank of each network", ("network", *found.devices), rows)
    tau = found.agreement()
    matrix = [(name, *(f"{value:.3f}" for value in line)) for name, line in zip(found.devices, tau, strict=True)]
    progress.table("Kendall's tau between devices", ("", *found.devices), matrix)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = [f"{device} {what}" for device in found.devices for what in ("ms", "rank")]
    writer.writerow(["network", *heads])
    for i in order:
        cells = [cell for pair in zip(found.ms[i].tolist(), ranks[i].tolist(), strict=True) for cell in pair]
        writer.writerow([found.names[i], *cells])
    write_text(path, out.getvalue())
    progress.log(f"table: {path}; picture: {slopes(found, path.with_suffix('.png'))}")


def slopes(found: Comparison, path: Path) -> Path:
    """A PNG of the rank of each network (fastest on top) on each device; lines that cross are why one searches anew.

    The line of a network is dark where its rank differs most between devices.
    """
    from matplotlib.figure import Figure

    ranks = found.ranks
    moved = ranks.max(axis=1) - ranks.min(axis=1)
    figure = Figure(figsize=(2 + 2.2 * len(found.devices), max(3.0, 0.22 * len(found.names))), layout="constrained")
    axes = figure.subplots()
    places = range(len(found.devices))
    for i, name in enumerate(found.names):
        shade = 0.25 + 0.75 * moved[i] / max(moved.max(), 1)
        axes.plot(places, ranks[i], color="tab:blue", alpha=shade, marker="o", markersize=3, linewidth=1)
        axes.annotate(name, (0, ranks[i, 0]), (-6, 0), textcoords="offset points", ha="right", va="center", fontsize=6)
    axes.set_xticks(list(places), found.devices, fontsize=6)
    axes.set_xlim(-0.6, len(found.devices) - 0.8)
    axes.set_ylim(len(found.names) + 0.5, 0.5)
    axes.set_ylabel("rank (1: fastest)")
    return write_atomic(path, lambda temporary: figure.savefig(temporary, dpi=140, format="png"))
