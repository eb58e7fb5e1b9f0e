"""A space written as yaml: stages of candidate blocks, checked before anything is computed with it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from search_spaces.blocks import KINDS, Classifier, ConvBNAct, Layer
from search_spaces.card_blocks import candidates, is_skip, make_layer, nearest
from search_spaces.choices import Chain, Choice, combine, constant, repeated
from search_spaces.composed import ComposedSpace
from search_spaces.plain_data import fields
from search_spaces.plain_data.annotations import Positive
from search_spaces.resolution import Pixels
from search_spaces.space import LayerwiseSpace, SearchSpace

STAGE_KEYS = ("name", "channels", "depth", "stride", "blocks")
MAX_ROWS = 10_000


@dataclass(frozen=True)
class Stage:
    """One stage of a card: its choices of channels and depth, the stride of its first block, its candidates."""

    name: str
    channels: tuple[int, ...]
    depths: tuple[int, ...]
    stride: int
    blocks: tuple[Mapping[str, Any], ...]

    @property
    def fixed(self) -> bool:
        """Whether its shape is decided."""
        return len(self.channels) == len(self.depths) == 1


@dataclass(frozen=True)
class Card:
    """A card whose values are checked one by one."""

    name: str
    resolution: Pixels
    num_classes: int
    in_channels: int
    stem: ConvBNAct
    head: ConvBNAct
    stages: tuple[Stage, ...]


def from_card(
    stages: Sequence[Mapping[str, Any]],
    stem: Mapping[str, Any],
    head: Mapping[str, Any],
    name: str = "from_card",
    resolution: Pixels = 224,
    num_classes: Positive = 1000,
    in_channels: Positive = 3,
    max_macs: Positive | None = None,
) -> SearchSpace:
    """The space of a card.

    `stem` and `head`: a convolution each, as the fields of `conv_bn_act`; a classifier closes the network. Each of
    `stages` has `channels` and `depth`, a number or a list of choices; `stride`, of its first block; and `blocks`, its
    candidates, whose fields may be lists: every combination is a candidate.

    Where no stage has choices of channels or depth, every block is a position with all candidates (skips only where the
    shape stays): a `LayerwiseSpace`. Else all blocks of a stage share one candidate: a `ComposedSpace`.

    Raises `ValueError` in one line that names the stage and the fix: unknown keys and kinds, values out of range,
    candidates that are equal or cannot have that shape, maps that vanish, nothing to choose, more than `MAX_ROWS` rows
    of a latency table, and no network within `max_macs` multiply-adds.
    """
    parsed = [_stage(i, stage) for i, stage in enumerate(stages)]
    if not parsed:
        raise ValueError("space.stages is empty; list at least one stage")
    names = [stage.name for stage in parsed]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ValueError(f"two stages are called {twice[0]!r}; give each a name of its own")
    _check_layouts(parsed)
    if not any(stage.channels[1:] or stage.depths[1:] or stage.blocks[1:] for stage in parsed):
        raise ValueError(f"stage {names[0]!r} and all others offer one choice only; give a list somewhere to search")
    ends = _end("stem", stem), _end("head", head)
    card = Card(name, resolution, num_classes, in_channels, *ends, tuple(parsed))
    space = _layerwise(card) if all(stage.fixed for stage in parsed) else _composed(card)
    _check(space, ["the stem", *(f"stage {n!r}" for n in names), "the head"], max_macs)
    return space


def _stage(index: int, stage: Any) -> Stage:
    where = f"stage {index + 1}"
    if not isinstance(stage, Mapping):
        raise ValueError(f"{where} must be a mapping with {', '.join(STAGE_KEYS)}, got {stage!r}")
    where = f"stage {stage.get('name', index + 1)!r}"
    for key in stage:
        if key not in STAGE_KEYS:
            raise ValueError(f"{where} has no key {key!r}; {nearest(str(key), STAGE_KEYS)}")
    for key in ("channels", "depth", "blocks"):
        if key not in stage:
            raise ValueError(f"{where} has no {key}; add {key}: ...")
    stride = stage.get("stride", 1)
    if stride not in (1, 2):
        raise ValueError(f"{where}: stride must be 1 or 2, got {stride!r}; split a larger one over two stages")
    blocks = stage["blocks"]
    if isinstance(blocks, str | Mapping) or not isinstance(blocks, Sequence) or not blocks:
        raise ValueError(f"{where}: blocks must be a list of at least one candidate, got {blocks!r}")
    channels, depths = (_counts(where, key, stage[key]) for key in ("channels", "depth"))
    try:
        found = candidates(blocks)
        for block, width in itertools.product(found, channels):
            make_layer(block, width, stride)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if all(is_skip(block) for block in found):
        raise ValueError(f"{where}: its only candidate is skip; add a block or drop the stage")
    return Stage(str(stage.get("name", f"stage{index + 1}")), channels, depths, stride, tuple(found))


def _counts(where: str, key: str, value: Any) -> tuple[int, ...]:
    """A number or a list of choices, ascending."""
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    good = all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in values)
    if not values or not good or len(set(values)) != len(values):
        raise ValueError(f"{where}: {key} must be a whole number >= 1 or a list of different ones, got {value!r}")
    return tuple(sorted(values))


def _check_layouts(stages: Sequence[Stage]) -> None:
    """Refuse blocks that no network has together, since its weights could not be named."""
    kinds = {block["kind"] for stage in stages for block in stage.blocks}
    if set.intersection(*(set(KINDS[kind].layouts) for kind in kinds)):
        return
    rare = sorted(kind for kind in kinds if "stages" not in KINDS[kind].layouts)
    others = sorted(kind for kind in kinds if "flat" not in KINDS[kind].layouts)
    stage = next(s.name for s in stages if any(block["kind"] in others for block in s.blocks))
    raise ValueError(
        f"stage {stage!r}: {', '.join(rare)} does not mix with {', '.join(others)} in one network; use it in all "
        "stages or in none"
    )


def _end(name: str, given: Any) -> ConvBNAct:
    """Stem or head."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{name}: must be a mapping with the fields of {ConvBNAct.kind}, got {given!r}")
    values = dict(given)
    kind = values.pop("kind", ConvBNAct.kind)
    if kind != ConvBNAct.kind:
        raise ValueError(f"{name}: must be a {ConvBNAct.kind} layer, got {kind}; drop its kind")
    try:
        return fields.read(ConvBNAct, values, ConvBNAct.kind)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _layerwise(card: Card) -> LayerwiseSpace:
    slots: list[list[list[Layer]]] = [[[card.stem]]]
    before = card.stem.out_channels
    for stage in card.stages:
        (channels,), (depth,) = stage.channels, stage.depths
        slots.append([])
        for i in range(depth):
            stride = stage.stride if i == 0 else 1
            keeps = stride == 1 and before == channels
            blocks = [block for block in stage.blocks if keeps or not is_skip(block)]
            slots[-1].append([make_layer(block, channels, stride) for block in blocks])
            before = channels
    slots.append([[card.head], [Classifier(card.num_classes)]])
    return LayerwiseSpace(card.name, card.resolution, slots, card.in_channels)


def _composed(card: Card) -> ComposedSpace:
    chain = Chain(card.name, (card.resolution,), card.in_channels)
    chain.layer(constant(card.stem), constant(card.stem.out_channels), card.stem.stride)
    for stage in card.stages:
        if any(is_skip(block) for block in stage.blocks):
            raise ValueError(
                f"stage {stage.name!r}: skip needs fixed channels and depths in all stages; drop it, and let depth "
                f"choose how many blocks there are"
            )
        chain.next_stage()
        width = chain.choice(f"{stage.name}.channels", stage.channels)
        labels = [make_layer(block, 8, 1).label for block in stage.blocks]
        which = chain.choice(f"{stage.name}.block", range(len(labels)), ordered=False)
        chain.layer(_block(stage, stage.stride, which, width), width, stage.stride)
        if stage.depths[-1] > 1:
            depth = chain.choice(f"{stage.name}.depth", stage.depths)
            chain.run(combine(lambda layer, n: repeated(layer, n - 1), _block(stage, 1, which, width), depth))
    chain.next_stage()
    chain.layer(constant(card.head), constant(card.head.out_channels), card.head.stride)
    return chain.space(card.num_classes)


def _block(stage: Stage, stride: int, which: Choice, width: Choice) -> Choice:
    return combine(lambda k, c: make_layer(stage.blocks[k], c, stride), which, width)


def _check(space: SearchSpace, names: Sequence[str], max_macs: int | None) -> None:
    """Walk every layer at every shape that can reach it, and the cheapest network."""
    rows = 0
    for term in space.terms:
        where = names[term.stage]
        rows += prod(len(space.variables[v]) for v in term.variables)
        if rows > MAX_ROWS:
            raise ValueError(f"{where}: its choices take the latency table above {MAX_ROWS} rows; list fewer channels")
    for term, walks in zip(space.terms, space.walks, strict=True):
        where = names[term.stage]
        for layer, shape in (step for steps in walks.values for step in steps):
            stride = getattr(layer, "stride", 1)
            if stride > 1 and shape.height == shape.width == 1:
                raise ValueError(
                    f"{where}: stride {stride} on a map of 1x1 pixels; use larger images (resolution) or stride 1"
                )
            for conv in layer.convs(shape):
                if conv.in_channels % conv.groups or conv.out_channels % conv.groups:
                    raise ValueError(
                        f"{where}: {layer.label} has {conv.groups} groups, which do not divide {conv.in_channels} and "
                        f"{conv.out_channels} channels; use channels that are multiples of {conv.groups}"
                    )
    low, high = space.count("macs").reachable()
    if max_macs is not None and low > max_macs:
        raise ValueError(
            f"no network of {names[1]} to {names[-2]} has at most max_macs={max_macs:,} multiply-adds, they have "
            f"{low:,.0f} to {high:,.0f}; use fewer channels or a larger max_macs"
        )
