"""The network layer by layer: block, shapes, cost, its milliseconds, and how sure the search was."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from nas.latency.tables.table import LatencyTable
from nas.report import bars
from nas.report.charts import count
from search_spaces.arch import Arch
from search_spaces.costs import Shape


def names(arch: Arch) -> list[str]:
    """A name for each layer, as searched positions are called."""
    last = len(arch.stages) - 1
    ends = {0: "stem", last: "head"}
    return [
        ends.get(number, f"stage{number}.{index}")
        for number, stage in enumerate(arch.stages)
        for index in range(len(stage))
    ]


def layers(path: Path, table: LatencyTable | None, result: dict[str, Any], theta: dict[str, Any] | None) -> str:
    """One row per layer of the network in `path`."""
    arch = Arch.load(path / "arch.json")
    if result["handed_over"]:  # a network that no position chose, and whose rows the table may lack
        table, theta = None, None
    positions = _chosen(path, theta["positions"], result["genotype"] or []) if theta else {}
    steps = list(arch.walk())
    prices = [table.price_ms(layer, shape) if table else 0.0 for layer, shape in steps]
    longest = max(prices) or 1.0
    rows = []
    for name, (layer, shape), ms in zip(names(arch), steps, prices, strict=True):
        searched = name in positions if theta else name not in ("stem", "head")  # some spaces fix blocks too
        cost = layer.cost(shape)
        cells = [
            f"<td>{name}</td><td><b>{escape(layer.label)}</b></td>",
            f"<td>{_shape(shape)} → {_shape(layer.out_shape(shape))}</td>",
            f"<td class='n'>{count(cost.params)}</td><td class='n'>{count(cost.macs)}</td>",
        ]
        if table:
            cells.append(f"<td class='n'>{ms:.4f}</td><td>{bars.bar(ms / longest)}</td>")
        if theta and searched:
            position, gene = positions[name]
            shares = list(zip(position["labels"], position["probabilities"], strict=True))
            cells.append(f"<td class='n'>{100 * shares[gene][1]:.0f}%</td>")
            cells.append(f"<td class='wide'>{bars.share_bar(shares, gene)}</td>")
        elif theta:
            cells.append("<td></td><td></td>")
        rows.append(f"<tr{'' if searched else ' class=fixed'}>{''.join(cells)}</tr>")
    head = "<th>layer</th><th>block</th><th>shape</th><th class='n'>params</th><th class='n'>MACs</th>"
    head += "<th class='n'>ms</th><td></td>" if table else ""
    head += "<th class='n'>probability</th><td></td>" if theta else ""
    note = "<p>The blue part of a bar is the probability of the block that was taken; point at a part to read it.</p>"
    return (
        f"<h2>Layer by layer</h2>{note if theta else ''}"
        f"<div class='panel' tabindex='0'><table><tr>{head}</tr>{''.join(rows)}</table></div>"
    )


def layer_rows(path: Path, table: LatencyTable | None) -> list[list[object]]:
    """The same figures for a spreadsheet, with a heading; milliseconds only where the table has them."""
    arch = Arch.load(path / "arch.json")
    head = ["layer", "block", "channels_in", "height", "width", "channels_out", "params", "macs", "latency_ms"]
    rows: list[list[object]] = [list(head)]
    for name, (layer, shape) in zip(names(arch), arch.walk(), strict=True):
        cost, ms = layer.cost(shape), None if table is None else price(table, layer, shape)
        rows.append([name, layer.label, *shape, layer.out_shape(shape).channels, cost.params, cost.macs, ms])
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
