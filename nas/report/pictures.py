"""Charts as PNG, drawn by matplotlib from what this package writes as SVG: lines, circles, rectangles, texts, and the
rules of their style. It reads these files alone, and no SVG of others."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch, Patch, Polygon, Rectangle

DOTS = 2.0  # pixels of the picture by pixels of the chart
INCH = 72  # pixels of a chart, so that its pixels are matplotlib's points
RULE = re.compile(r"([^{}]+){([^{}]*)}")
ANCHORS = {"start": "left", "middle": "center", "end": "right"}
Style = Mapping[str, str]


def as_png(svg: str) -> bytes:
    """The chart `svg`, as `nas.report.figures.charts_of` gives it, twice as large."""
    root = ElementTree.fromstring(svg)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    figure = Figure(figsize=(width / INCH, height / INCH), dpi=DOTS * INCH, facecolor="white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(0.0, width), ylim=(height, 0.0))
    axes.set_axis_off()
    rules: list[tuple[list[str], Style]] = []
    for order, element in enumerate(root):
        if _tag(element) == "style":
            rules = _rules(element.text or "")
        else:
            _draw(axes, element, _style(element, rules), order)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return picture.getvalue()


def _rules(text: str) -> list[tuple[list[str], Style]]:
    """The words that an element must have, its tag or classes, and what then holds of it; the strongest rule last."""
    found = []
    for selectors, body in RULE.findall(text):
        pairs = (part.partition(":") for part in body.split(";") if ":" in part)
        values = {name.strip(): value.strip() for name, _, value in pairs}
        found += [([word for word in one.strip().split(".") if word], values) for one in selectors.split(",")]
    return sorted(found, key=lambda rule: (rule[0][0] != "text", len(rule[0])))


def _style(element: ElementTree.Element, rules: Sequence[tuple[list[str], Style]]) -> dict[str, str]:
    words = {_tag(element), *element.attrib.get("class", "").split()}
    style = {name: value for name, value in element.attrib.items() if name in ("fill", "fill-opacity", "text-anchor")}
    for needed, values in rules:
        if words >= set(needed):
            style |= values
    return style


def _draw(axes: Axes, element: ElementTree.Element, style: Style, order: int) -> None:
    tag, at = _tag(element), {name: _number(value) for name, value in element.attrib.items()}
    if tag == "text":
        _write(axes, element, style, order)
    elif tag in ("line", "polyline"):
        points = [(at["x1"], at["y1"]), (at["x2"], at["y2"])] if tag == "line" else _points(element)
        width = _number(style.get("stroke-width", "1"))
        dashes = style.get("stroke-dasharray")
        xs, ys = zip(*points, strict=True)
        line = Line2D(xs, ys, color=style.get("stroke", "none"), linewidth=width, zorder=order)
        if dashes:
            line.set_dashes([float(dash) / width for dash in dashes.split()])
        axes.add_line(line)
    else:
        axes.add_patch(_shape(tag, at, element)).set(
            facecolor=style.get("fill", "black"),
            edgecolor=style.get("stroke", "none"),
            linewidth=_number(style.get("stroke-width", "1")),
            linestyle="--" if "stroke-dasharray" in style else "-",
            alpha=_opacity(style),
            zorder=order,
        )


def _opacity(style: Style) -> float | None:
    """What is said beside the colour; None where the colour itself has it."""
    said = style.get("opacity", style.get("fill-opacity"))
    return None if said is None else float(said)


def _shape(tag: str, at: Mapping[str, float], element: ElementTree.Element) -> Patch:
    if tag == "circle":
        return Circle((at["cx"], at["cy"]), at["r"])
    if tag == "polygon":
        return Polygon(_points(element))
    if tag != "rect":
        raise ValueError(f"a chart holds <{tag}>, which cannot be drawn as a picture")
    corner, size = (at.get("x", 0.0), at.get("y", 0.0)), (at["width"], at["height"])
    rounding = min(at.get("rx", 0.0), *(side / 2 for side in size))
    if not rounding:
        return Rectangle(corner, *size)
    return FancyBboxPatch(corner, *size, boxstyle=f"round,pad=0,rounding_size={rounding}")


def _write(axes: Axes, element: ElementTree.Element, style: Style, order: int) -> None:
    x, y, turned = element.attrib.get("x", "0"), element.attrib.get("y", "0"), 0.0
    if moved := re.match(r"translate\(([-\d.]+) ([-\d.]+)\) rotate\(([-\d.]+)\)", element.attrib.get("transform", "")):
        x, y, turned = moved[1], moved[2], -float(moved[3])
    axes.text(
        float(x),
        float(y),
        element.text or "",
        color=style.get("fill", "black"),
        fontsize=_number(style.get("font-size", style.get("font", "12px"))),
        fontweight="bold" if "font-weight" in style else "normal",
        horizontalalignment=ANCHORS[style.get("text-anchor", "start")],
        verticalalignment="baseline",
        rotation=turned,
        rotation_mode="anchor",
        parse_math=False,
        zorder=order,
    )


def _points(element: ElementTree.Element) -> list[tuple[float, float]]:
    pairs = (point.split(",") for point in element.attrib["points"].split())
    return [(float(x), float(y)) for x, y in pairs]


def _number(text: str) -> float:
    """The number that `text` begins with; 0 where it is none."""
    found = re.match(r"-?[\d.]+", text)
    return float(found[0]) if found else 0.0


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
