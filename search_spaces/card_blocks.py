"""Candidate blocks as a card writes them: a kind, and fields that hold one value or a list of choices."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from search_spaces.blocks import KINDS, Layer, layer_from_dict

FROM_STAGE = ("out_channels", "stride")


def expand_block(block: Any) -> list[dict[str, Any]]:
    """The layers that one entry of `blocks` stands for, as fields: every combination of its lists.

    `se` may be a ratio, 0 or null for none, or the fields of a squeeze-and-excitation. Raises `ValueError` saying what
    is wrong with the entry.
    """
    known = sorted(kind for kind, layer in KINDS.items() if layer.in_cards)
    if not isinstance(block, Mapping) or "kind" not in block:
        raise ValueError(f"a block is a mapping with a kind (one of {', '.join(known)}), got {block!r}")
    kind = block["kind"]
    if kind not in known:
        raise ValueError(f"unknown block kind {kind!r}; {nearest(str(kind), known)}")
    fields = [field.name for field in dataclasses.fields(KINDS[kind]) if field.name not in FROM_STAGE]
    for key in block:
        if key in FROM_STAGE:
            raise ValueError(f"a block takes its {key} from the stage; move {key} there")
        if key != "kind" and key not in fields:
            raise ValueError(f"{kind} has no field {key!r}; {nearest(str(key), fields)}")
    names = [key for key in block if key != "kind"]
    choices = [_listed(block[name]) for name in names]
    for name, values in zip(names, choices, strict=True):
        if not values:
            raise ValueError(f"{kind}: {name} lists no choices; give at least one")
    return [
        {"kind": kind, **{name: KINDS[kind].from_card(name, value) for name, value in zip(names, values, strict=True)}}
        for values in itertools.product(*choices)
    ]


def make_layer(fields: Mapping[str, Any], out_channels: int, stride: int) -> Layer:
    """The layer of `fields` in a stage of `out_channels`, at `stride`."""
    return layer_from_dict({**fields, "out_channels": out_channels, "stride": stride})


def candidates(blocks: Sequence[Any]) -> list[dict[str, Any]]:
    """All candidates that `blocks` stand for. Raises `ValueError` for one that is listed twice or is not a layer."""
    found = [fields for block in blocks for fields in expand_block(block)]
    seen: dict[Layer, dict[str, Any]] = {}
    for fields in found:
        layer = make_layer(fields, 8, 1)
        if layer in seen:
            raise ValueError(f"the candidate {layer.label} is listed twice; drop one")
        seen[layer] = fields
    return found


def is_skip(fields: Mapping[str, Any]) -> bool:
    """Whether a candidate leaves the block out."""
    return KINDS[fields["kind"]].leaves_out


def nearest(word: str, known: Iterable[str]) -> str:
    """What `word` may have meant, as a clause."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}"


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
