"""Files that list blocks by name and shape: ProxylessNAS's and Once-for-All's YAML tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from nas.latency.device import Device
from nas.latency.imports.cells import milliseconds
from nas.latency.tables.fields import number, whole
from nas.latency.tables.table import LatencyTable, Row, grain
from nas.terminal.configuration.plain_yaml import read_yaml
from search_spaces.blocks import (
    Classifier,
    ConvBNAct,
    DepthwiseSeparable,
    InvertedResidual,
    Layer,
    PooledConv,
    SqueezeExcite,
)
from search_spaces.costs import Shape
from search_spaces.space import SearchSpace

_MAP = r"(\d+)x(\d+)x(\d+)"
_KEY = re.compile(
    rf"(?P<kind>\w+)-input:{_MAP}-output:(?:{_MAP}|(?P<classes>\d+))"
    r"(?:-expand:(?P<expand>\d+)-kernel:(?P<kernel>\d+)-stride:(?P<stride>\d+)-idskip:(?P<idskip>[01])"
    r"(?:-se:(?P<se>[01])-hs:(?P<hs>[01]))?)?"
)


def read_proxylessnas(
    path: Path, *, space: SearchSpace, device: Device, source: str | None, unit: str | None, repair: bool
) -> LatencyTable:
    """ProxylessNAS's phone table: `Conv`, `Conv_1`, `Logits` and `expanded_conv` rows; ReLU6; `expand` is a ratio."""
    rows = []
    for key, row in _rows(path, milliseconds(unit or "ms"), repair):
        shape, out, fields = key
        layer: Layer
        if fields["kind"] == "expanded_conv":
            layer = _mbconv(shape, out, fields, float(fields["expand"]), "relu6", None)
        elif fields["kind"] == "Logits":
            layer = Classifier(int(fields["classes"]))
        else:
            kernel = 3 if fields["kind"] == "Conv" else 1
            layer = ConvBNAct(out.channels, kernel, shape.height // out.height, act="relu6")
        rows.append(_row(layer, shape, row))
    return _table("proxylessnas", device, rows)


def read_ofa(
    path: Path, *, space: SearchSpace, device: Device, source: str | None, unit: str | None, repair: bool
) -> LatencyTable:
    """Once-for-All's phone tables (MobileNetV3 blocks): one file, or a folder of files of several resolutions.

    `expand` is the number of middle channels; `AvgPool2D` and `Conv_2` together are our pooled convolution.
    """
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise ValueError("no .yaml file in this folder")
    rows: dict[tuple[Layer, Shape], Row] = {}
    for file in files:
        pooling: dict[str, float] = {}
        pooled: tuple[Layer, Shape, dict[str, float]] | None = None
        for (shape, out, fields), row in _rows(file, milliseconds(unit or "ms"), repair):
            act = "hard_swish" if fields["hs"] == "1" else "relu"
            if fields["kind"] == "expanded_conv":
                ratio = int(fields["expand"]) / shape.channels
                se = SqueezeExcite(of="expanded", gate="hard_sigmoid") if fields["se"] == "1" else None
                layer: Layer = _mbconv(shape, out, fields, ratio, act, se)
            elif fields["kind"] == "AvgPool2D":
                pooling, at = row, shape
                continue
            elif fields["kind"] == "Conv_2":
                pooled = (PooledConv(out.channels), shape, row)
                continue
            elif fields["kind"] == "Logits":
                layer = Classifier(int(fields["classes"]))
            else:
                kernel = 3 if fields["kind"] == "Conv" else 1
                layer = ConvBNAct(out.channels, kernel, shape.height // out.height, act="hard_swish")
            new = _row(layer, shape, row)
            _add(rows, new)
        if pooled and pooling:
            row = {name: pooled[2][name] + pooling[name] for name in ("mean", "spread")}
            _add(rows, _row(pooled[0], at, {**row, "count": pooled[2]["count"]}))
    return _table("ofa_mobilenetv3", device, list(rows.values()))


def _add(rows: dict[tuple[Layer, Shape], Row], row: Row) -> None:
    """Enter `row`; the part of a network behind the pooling is the same at every resolution and is averaged."""
    known = rows.get((row.layer, row.shape))
    if known is not None:
        count = known.count + row.count
        ms = (known.ms * known.count + row.ms * row.count) / count
        spread = max(known.spread_ms, row.spread_ms, abs(known.ms - row.ms) / 2)
        row = Row(row.layer, row.shape, ms, spread, count, grain(ms))
    rows[row.layer, row.shape] = row


def _mbconv(
    shape: Shape, out: Shape, fields: dict[str, str], ratio: float, act: str, se: SqueezeExcite | None
) -> Layer:
    kernel, stride, residual = int(fields["kernel"]), int(fields["stride"]), fields["idskip"] == "1"
    layer: Layer
    if ratio == 1:
        layer = DepthwiseSeparable(out.channels, kernel, stride, act, se, residual)
    else:
        layer = InvertedResidual(out.channels, kernel, stride, ratio, act=act, se=se, residual=residual)
    if layer.out_shape(shape) != out:
        raise ValueError(f"{fields['kind']} at {tuple(shape)} cannot give {tuple(out)} with stride {stride}")
    return layer


def _rows(path: Path, factor: float, repair: bool) -> Any:
    """Each row of the YAML file: (input, output, fields of its name), {mean, spread, count} in ms."""
    if repair:
        raise ValueError("tables of blocks hold each block once, so there is nothing to repair it by")
    try:
        data = read_yaml(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict) or not data:
        raise ValueError("expected rows by block name")
    for name, row in data.items():
        found = _KEY.fullmatch(str(name))
        if found is None:
            raise ValueError(f"row {name!r}: no block of that form is known")
        try:
            mean = number(row["mean"], "mean")
            count = whole(row["count"], "count")
            spread = number(row["std"], "std", 0) if "std" in row else number(row["var"], "var", 0) ** 0.5
        except (KeyError, TypeError, ValueError):
            shown = repr(row)[:80]
            raise ValueError(f"row {name!r} lacks a number for mean, count, and std or var; it has {shown}") from None
        if mean <= 0 or count < 1:
            raise ValueError(f"row {name!r} has mean {mean:g} of {count} measurements")
        height, width, channels = (int(n) for n in found.groups()[1:4])
        classes = found["classes"]
        out = Shape(int(classes), 1, 1) if classes else Shape(*(int(found.groups()[n]) for n in (6, 4, 5)))
        spread_ms = spread * factor
        yield (
            (Shape(channels, height, width), out, found.groupdict(default="0")),
            {"mean": mean * factor, "spread": spread_ms, "count": count},
        )


def _row(layer: Layer, shape: Shape, row: dict[str, float]) -> Row:
    same = layer.table_row(shape)
    assert same is not None
    return Row(same, shape, row["mean"], row["spread"], int(row["count"]), grain(row["mean"]))


def _table(name: str, device: Device, rows: list[Row]) -> LatencyTable:
    return LatencyTable(name, device, tuple(rows), 0.0, None, {"model": "none (imported)", "notes": []})
