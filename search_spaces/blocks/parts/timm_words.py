"""Blocks in the words of timm's EfficientNet, whose `block_args` are a mapping for each block."""

from __future__ import annotations

from typing import Any

from search_spaces.costs import Shape


def timm_block(kind: str, layer: Any, shape: Shape, expanded: int, **more: Any) -> dict[str, Any] | None:
    """`layer` for input `shape` as timm's block `kind`, with its arguments `more`; None where timm has none like it.

    `expanded`: the channels that its squeeze-and-excitation sees. That one stands under `se`: squeezed channels,
    activation, gate.
    """
    residual, se = layer.has_residual(shape), getattr(layer, "se", None)
    if getattr(layer, "padding", "symmetric") != "symmetric" or (residual and layer.stride > 1):
        return None
    found = {"block_type": kind, "out_chs": layer.out_channels, "stride": layer.stride, "act_layer": layer.act, **more}
    found |= {"skip": residual} if kind == "cn" else {"noskip": not residual}
    if se is None:
        return found
    return None if se.norm else {**found, "se": (se.squeezed(shape.channels, expanded), se.act, se.gate)}
