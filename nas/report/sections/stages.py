"""The network as a drawing of its stages, beside a known one that costs about as much."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from nas.latency.tables.table import LatencyTable
from nas.report.charts import HUES, count, figure
from nas.report.parts import Chart, Section
from nas.report.sections.network import price
from nas.runs.files import read_json
from nas.runs.stored import record
from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.families.hand_made.scaling import WIDTHS, fitted, widened
from search_spaces.zoo import FAMILIES, published

REFERENCES = "references.json"  # of a run directory
REFERENCE = {"name": str, "multiplier": float | None, "arch": dict}
WIDTH, ROW, TOP = 380, 48, 16
BLOCKS, SHARES = (108, 292), (304, 376)  # pixels from left to right that blocks, at most, and shares have
WORDS, DIGIT = 63, 7.7  # pixels that sizes and channels take beside their digits, a gap included, and of a digit


@dataclass(frozen=True)
class Drawn:
    """A network called `title`. `prices`: of each layer, in the `unit`: `latency` (milliseconds) or `MACs`."""

    title: str
    arch: Arch
    prices: tuple[float, ...]
    unit: str

    @classmethod
    def of(cls, title: str, arch: Arch, table: LatencyTable | None) -> Drawn:
        """Priced by `table` where that has a row of each layer."""
        times = [None if table is None else price(table, layer, shape) for layer, shape in arch.walk()]
        if all(ms is not None for ms in times) and any(times):
            return cls(title, arch, tuple(ms or 0.0 for ms in times), "latency")
        return cls(title, arch, tuple(float(layer.cost(shape).macs) for layer, shape in arch.walk()), "MACs")

    @property
    def shares(self) -> list[float]:
        """Of each stage, the share of what all layers cost."""
        prices, total = iter(self.prices), sum(self.prices) or 1.0
        return [sum(next(prices) for _ in stage) / total for stage in self.arch.stages]


@dataclass(frozen=True)
class Stages(Section):
    """The network, and another one `beside` it. `keys`: class and name of each block kind."""

    beside: str | None
    keys: Sequence[tuple[str, str]]
    drawings: Sequence[Chart]

    heading, template = "The network", "stages.html"


def stages(run: Path, result: Mapping[str, Any], table: LatencyTable | None) -> Stages:
    """The drawing of the network in `run`, and of the nearest known one where there is one."""
    arch = Arch.load(run / "arch.json")
    drawn = [Drawn.of(result["handed_over"] or "this network", arch, table)]
    if (near := nearest(run, result["space"], arch)) is not None:
        drawn.append(Drawn.of(*near, table))
    kinds = list(dict.fromkeys(layer.kind for each in drawn for layer in each.arch.layers))
    widest = max(layer.out_shape(shape).channels for each in drawn for layer, shape in _blocks(each.arch))
    files = ("network", "network-beside")
    return Stages(
        beside=drawn[1].title if len(drawn) > 1 else None,
        keys=[(f"s{i % HUES}", kind.replace("_", " ")) for i, kind in enumerate(kinds)],
        drawings=[_drawing(each, kinds, widest, name) for each, name in zip(drawn, files, strict=False)],
    )


def nearest(run: Path, space: str | None, arch: Arch) -> tuple[str, Arch] | None:
    """The known network, and its name, whose multiply-adds are most like those of `arch`.

    Of the references of the run; where it has none, of the published networks of its space's family, at any width and
    fitted to the images. None where there is none.
    """
    known = _references(run / REFERENCES) or _family(space, arch)
    known = [(title, other) for title, other in known if other != arch]
    return min(known, key=lambda each: abs(math.log(max(each[1].macs, 1) / max(arch.macs, 1))), default=None)


def _references(path: Path) -> list[tuple[str, Arch]]:
    if not path.exists():
        return []
    stored = record(read_json(path, "references"), {"references": list[dict]}, f"references {path}")
    found = []
    for row in stored["references"]:
        known = record(row, REFERENCE, f"references {path}: a network")
        width = "" if known["multiplier"] is None else f" x{known['multiplier']:g}"
        found.append((known["name"] + width, Arch.from_dict(known["arch"])))
    return found


def _family(space: str | None, arch: Arch) -> list[tuple[str, Arch]]:
    if space not in FAMILIES:
        return []
    found = []
    for name in FAMILIES[space].names:
        whole = fitted(published(name), arch.resolution, arch.num_classes, arch.in_channels)
        at = bisect.bisect_left(WIDTHS, arch.macs, key=lambda width: widened(whole, width).macs)
        found += [(f"{name} x{width:g}", widened(whole, width)) for width in WIDTHS[max(at - 1, 0) : at + 1]]
    return found


def _blocks(arch: Arch) -> list[tuple[Layer, Shape]]:
    """All layers but the head, whose channels are of another order."""
    return [step for stage in list(arch.walk_stages())[:-1] for step in stage]


def _drawing(drawn: Drawn, kinds: Sequence[str], widest: int, file: str) -> Chart:
    arch, shares, parts = drawn.arch, drawn.shares, []
    parts.append(f'<text class="tick" x="{SHARES[0]}" y="{TOP - 4}">{drawn.unit}</text>')
    last, sizes = len(arch.stages) - 1, _sizes(arch)
    left = max(BLOCKS[0], *(WORDS + DIGIT * sum(map(str.isdigit, said)) for said in sizes))
    for number, (steps, share) in enumerate(zip(arch.walk_stages(), shares, strict=True)):
        top = TOP + ROW * number
        name = "stem" if number == 0 else "head" if number == last else f"stage {number}"
        parts.append(
            f'<text class="label" x="0" y="{top + 20}">{name}</text><text class="tick" x="0" y="{top + 35}">'
            f"{sizes[number]}</text>"
        )
        slot = min(27.0, (BLOCKS[1] - left) / len(steps))
        for index, (layer, shape) in enumerate(steps):
            parts.append(_box(layer, shape, kinds, widest, (left + slot * index, top + 20, slot)))
        long = (SHARES[1] - SHARES[0] - 34) * share / max(shares)
        parts.append(
            f'<rect class="part" x="{SHARES[0]}" y="{top + 12}" width="{max(long, 1):.1f}" height="12" rx="2"/>'
            f'<text class="tick" x="{SHARES[0] + max(long, 1) + 5:.1f}" y="{top + 22}">{100 * share:.0f}%</text>'
        )
    said = f"{drawn.title}: {count(arch.params)} parameters, {count(arch.macs)} multiply-adds"
    stages_said = f"{said}, {len(arch.stages)} stages of {', '.join(str(len(stage)) for stage in arch.stages)} layers"
    return Chart(said, figure(stages_said, (WIDTH, TOP + ROW * len(arch.stages)), "".join(parts), "plot", file))


def _sizes(arch: Arch) -> list[str]:
    """The images and channels of each stage, in words; of the head those before the classes."""
    found: list[str] = []
    for steps in arch.walk_stages():
        inside, (layer, shape) = steps[0][1], steps[-1]
        channels = layer.out_shape(shape).channels if len(found) < len(arch.stages) - 1 else shape.channels
        found.append(f"{inside.height}×{inside.width} px, {channels} ch")
    return found


def _box(layer: Layer, shape: Shape, kinds: Sequence[str], widest: int, place: tuple[float, float, float]) -> str:
    """A layer at `place`: left, middle and how wide, in pixels."""
    x, middle, slot = place
    tip = f"<title>{escape(layer.label)}: {_side(shape)} to {_side(layer.out_shape(shape))}</title>"
    if layer.is_identity(shape):
        place_of = f'x="{x + 1:.1f}" y="{middle - 4:.1f}" width="{max(slot - 3, 1):.1f}" height="8"'
        return f'<rect class="left-out" {place_of}>{tip}</rect>'
    channels = layer.out_shape(shape).channels
    high = 8 + 28 * math.sqrt(min(channels / widest, 1.0))
    hue = kinds.index(layer.kind) % HUES
    box = (
        f'<rect class="box s{hue}" x="{x + 1:.1f}" y="{middle - high / 2:.1f}" width="{max(slot - 3, 1):.1f}" '
        f'height="{high:.1f}" rx="2">{tip}</rect>'
    )
    kernel = _kernel(layer, shape)
    if kernel < 2 or slot < 12 or high < 12:
        return box
    return (
        box
        + f'<text class="inside" x="{x + slot / 2 - 0.5:.1f}" y="{middle + 4:.1f}" text-anchor="middle">{kernel}</text>'
    )


def _kernel(layer: Layer, shape: Shape) -> int:
    """The longest side of a kernel in `layer`; 1 where it has none."""
    sides = [1]
    for conv in layer.convs(shape):
        sides += [conv.kernel_size] if isinstance(conv.kernel_size, int) else conv.kernel_size
    return max(sides)


def _side(shape: Shape) -> str:
    return f"{shape.channels}x{shape.height}x{shape.width}"
