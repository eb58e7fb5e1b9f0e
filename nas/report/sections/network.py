"""The network layer by layer: block, shapes, cost, its milliseconds, and how sure the search was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.latency.tables.table import LatencyTable
from nas.report import bars
from nas.report.charts import count
from nas.report.parts import Cell, Line, Section, Table, numeric
from search_spaces.arch import Arch
from search_spaces.costs import Shape

NO_LAYER = "belongs to no layer"  # the part of a network's time that a table adds to its layers' rows


def names(arch: Arch) -> list[str]:
    """A name for each layer, as searched positions are called."""
    last = len(arch.stages) - 1
    ends = {0: "stem", last: "head"}
    return [
        ends.get(number, f"stage{number}.{index}")
        for number, stage in enumerate(arch.stages)
        for index in range(len(stage))
    ]


@dataclass(frozen=True)
class Layers(Section):
    """A row for each layer, with the probabilities of a search where it left some."""

    has_probabilities: bool
    table: Table

    heading, template = "Layer by layer", "layers.html"


def layers(path: Path, table: LatencyTable | None, result: dict[str, Any], theta: dict[str, Any] | None) -> Layers:
    """One row per layer of the network in `path`."""
    arch = Arch.load(path / "arch.json")
    if result["handed_over"]:  # a network that no position chose, and whose rows the table may lack
        table, theta = None, None
    positions = _chosen(path, theta["positions"], result["genotype"] or []) if theta else {}
    steps = list(arch.walk())
    prices = [table.price_ms(layer, shape) if table else 0.0 for layer, shape in steps]
    longest = max(prices) or 1.0
    lines = []
    for name, (layer, shape), ms in zip(names(arch), steps, prices, strict=True):
        searched = name in positions if theta else name not in ("stem", "head")  # some spaces fix blocks too
        cost = layer.cost(shape)
        cells = [
            Cell(name),
            Cell(layer.label, strong=True),
            Cell(f"{_shape(shape)} → {_shape(layer.out_shape(shape))}"),
            numeric(count(cost.params)),
            numeric(count(cost.macs)),
        ]
        if table:
            cells += [numeric(f"{ms:.4f}"), Cell(bars.bar(ms / longest))]
        if theta and searched:
            position, gene = positions[name]
            shares = list(zip(position["labels"], position["probabilities"], strict=True))
            cells += [numeric(f"{100 * shares[gene][1]:.0f}%"), Cell(bars.share_bar(shares, gene), "wide")]
        elif theta:
            cells += [Cell(""), Cell("")]
        lines.append(Line(cells, "" if searched else "fixed"))
    if table and table.offset_ms:  # so that the column adds up to the estimate
        cells = [
            Cell(""),
            Cell(NO_LAYER),
            Cell(""),
            numeric(""),
            numeric(""),
            numeric(f"{table.offset_ms:.4f}"),
            Cell(""),
        ]
        lines.append(Line([*cells, *([Cell(""), Cell("")] if theta else [])], "fixed"))
    head = [Cell("layer"), Cell("block"), Cell("shape"), numeric("params"), numeric("MACs")]
    head += [numeric("ms"), Cell("")] if table else []
    head += [numeric("probability"), Cell("")] if theta else []
    return Layers(theta is not None, Table(head, lines))


def layer_rows(path: Path, table: LatencyTable | None) -> list[list[object]]:
    """The same figures for a spreadsheet, with a heading; milliseconds only where the table has them."""
    arch = Arch.load(path / "arch.json")
    head = ["layer", "block", "channels_in", "height", "width", "channels_out", "params", "macs", "latency_ms"]
    rows: list[list[object]] = [list(head)]
    for name, (layer, shape) in zip(names(arch), arch.walk(), strict=True):
        cost, ms = layer.cost(shape), None if table is None else price(table, layer, shape)
        rows.append([name, layer.label, *shape, layer.out_shape(shape).channels, cost.params, cost.macs, ms])
    if table is not None and table.offset_ms:
        rows.append([NO_LAYER, "", *[""] * 4, 0, 0, table.offset_ms])
    return rows


def price(table: LatencyTable, layer: Any, shape: Shape) -> float | None:
    """Milliseconds of `layer` by `table`; None where it has no such row."""
    try:
        return table.price_ms(layer, shape)
    except ValueError:
        return None


def _chosen(path: Path, positions: list[dict[str, Any]], genotype: list[int]) -> dict[str, tuple[dict[str, Any], int]]:
    """Each searched position by name, with the gene that the network has there."""
    sizes = [len(position["labels"]) for position in positions]
    if len(genotype) != len(sizes) or not all(0 <= g < size for g, size in zip(genotype, sizes, strict=True)):
        raise ValueError(f"{path}: the genotype in result.json does not fit theta.json; they are of different searches")
    return {position["name"]: (position, gene) for position, gene in zip(positions, genotype, strict=True)}


def _shape(shape: Any) -> str:
    return f"{shape.channels}x{shape.height}x{shape.width}"
