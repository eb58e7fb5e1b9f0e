"""The mobile space: stages of free width, depth and form, in which hand-made mobile networks are points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from search_spaces.blocks import Classifier, ConvBNAct, Layer, PooledConv
from search_spaces.blocks.activations import ACTIVATIONS
from search_spaces.choices import Chain, combine
from search_spaces.composed import ComposedSpace
from search_spaces.families.geometry import Geometry, geometry_of, is_tiny, resolutions_of
from search_spaces.families.mobile import lists as known
from search_spaces.families.mobile.forms import Form, of_cards
from search_spaces.families.mobile.lists import SLOTS
from search_spaces.families.mobile.stage import MOBILENETV3, Stage, act_of
from search_spaces.plain_data.annotations import Positive
from search_spaces.resolution import Pixels, pixels

Entry = str | Mapping[str, Any]
STEM_KERNEL = 3
HEAD_KINDS = ("conv", "pooled", "pooled_bn")


def mobile(
    resolution: Pixels = 224,
    num_classes: Positive = 1000,
    in_channels: Positive = 3,
    choose: Literal["stage", "block"] = "stage",
    lists: Literal["recommended", "published"] = "recommended",
    widths: Sequence[float] | None = None,
    channels: Mapping[str, Sequence[int]] | None = None,
    depths: Mapping[str, Sequence[int]] | None = None,
    forms: Sequence[Entry] | Mapping[str, Sequence[Entry]] | None = None,
    stem_strides: Sequence[int] | None = None,
    heads: Sequence[str] | None = None,
    acts: Sequence[str] | None = None,
    geometry: Geometry = "auto",
    resolutions: Sequence[Pixels] | None = None,
) -> ComposedSpace:
    """Networks of a stem, stages A to G, a last 1x1 convolution (optional), a head and a classifier.

    Every stage has channels, a depth (A, E and G may be left out) and a form of block (`choose="stage"`) or one per
    block (`"block"`) of `forms`, a list for all stages or one by stage; see `forms.named` for their names. `lists`:
    the lists that come with the space, the `recommended` ones of the geometry, or `published`, those that the published
    nets need, whose channels are multiplied by each of `widths` and rounded both ways that families do. With
    `choose="block"` and `published` lists, every net of MobileNetV2, MobileNetV3, MobileNetV4-Conv, FBNet, Single-Path
    NAS and MnasNet at these widths is a point, but for the nets named below. `channels`, `depths` and `forms` by stage
    replace the lists of the stages they name (`channels` also that of the `stem` and of the `last` convolution).

    `stem_strides`: None for 2, or 1 and 2 in the small geometry (total stride 8 or 16 instead of 32). `heads`:
    `conv_1280` convolves before the pooling (MobileNetV2), `pooled_1280` behind it (MobileNetV3), `pooled_bn_1280` with
    batch norm (MobileNetV4). `acts`: activations of whole networks, or `mobilenetv3`, ReLU up to stage C and hard swish
    behind it.

    Not points: FBNet's nets with grouped blocks, MobileNetV3's ported from TensorFlow (their padding), and whatever
    departs from these stages. Raises `ValueError` for lists that hold nothing or something twice, unknown names and
    numbers out of range, saying which.
    """
    resolutions = resolutions_of(resolution, resolutions)
    geometry = geometry_of(min(resolutions, key=pixels), geometry, "mobile")
    size = "tiny" if is_tiny(min(resolutions, key=pixels)) and geometry == "small" else geometry
    for key, value, options in (("choose", choose, ("stage", "block")), ("lists", lists, ("recommended", "published"))):
        if value not in options:
            raise ValueError(f"{key} must be one of {', '.join(options)}, got {value!r}")
    if widths is not None and lists == "recommended":
        raise ValueError("widths multiply published channels; set lists=published, or give channels")
    given = known.published(widths or known.WIDTHS) if lists == "published" else known.recommended(size)
    channel_lists = _replaced("channels", given.channels, channels, ("stem", *SLOTS, "last"))
    depth_lists = _replaced("depths", given.depths, depths, SLOTS)
    by_slot = _forms(given.forms, forms)

    chain = Chain("mobile", resolutions, in_channels)
    act = chain.choice("act", _acts(acts or given.acts), ordered=False)
    late = act_of(act, len(SLOTS))
    stem = chain.choice("stem.channels", channel_lists["stem"])
    stride = chain.choice("stem.stride", tuple(stem_strides or known.STEM_STRIDES[geometry]))
    chain.layer(combine(lambda c, s, a: ConvBNAct(c, STEM_KERNEL, s, act=a), stem, stride, late), stem, stride)
    for i, (slot, slot_stride) in enumerate(zip(SLOTS, known.STRIDES[geometry], strict=True)):
        chain.next_stage()
        firsts = given.firsts.get(slot, ()) if choose == "block" else ()
        stage = Stage(
            slot, channel_lists[slot], depth_lists[slot], slot_stride, by_slot[slot], firsts, each=choose == "block"
        )
        stage.write(chain, act_of(act, i))
    if channel_lists["last"]:
        chain.next_stage()
        Stage("last", channel_lists["last"], given.last_depths, 1, of_cards(["conv_k1"])).write(chain, late)
    chain.next_stage()
    head_names = tuple(heads or given.heads)
    for name in head_names:
        _head(name, "relu")
    head = chain.choice("head", head_names, ordered=False)
    chain.run(combine(lambda name, a: (_head(name, a), Classifier(num_classes)), head, late))
    return chain.closed(interpolated=True)


def _replaced(
    key: str, lists: Mapping[str, Sequence[int]], given: Mapping[str, Sequence[int]] | None, names: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """`lists` with those of `given` in their place."""
    for name, values in (given or {}).items():
        if name not in names:
            raise ValueError(f"{key} has no stage {name!r}; one of {', '.join(names)}")
        least = 0 if key == "depths" else 1
        if not values or len(set(values)) != len(values) or not all(v >= least for v in values):
            raise ValueError(f"{key}.{name} must list different whole numbers >= {least}, got {list(values)}")
    return {name: tuple(sorted(values)) for name, values in {**lists, **(given or {})}.items()}


def _forms(
    default: Sequence[str], given: Sequence[Entry] | Mapping[str, Sequence[Entry]] | None
) -> dict[str, tuple[Form, ...]]:
    """The forms of every slot."""
    by_slot: Mapping[str, Sequence[Entry]] = given if isinstance(given, Mapping) else {}
    unknown = [slot for slot in by_slot if slot not in SLOTS]
    if unknown:
        raise ValueError(f"forms has no stage {unknown[0]!r}; one of {', '.join(SLOTS)}")
    common = of_cards(default if given is None or isinstance(given, Mapping) else given)
    return {slot: of_cards(by_slot[slot]) if slot in by_slot else common for slot in SLOTS}


def _acts(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name != MOBILENETV3 and name not in ACTIVATIONS:
            raise ValueError(f"acts: unknown activation {name!r}; one of {', '.join(ACTIVATIONS)}, or {MOBILENETV3}")
    return tuple(names)


def _head(name: str, act: str) -> Layer:
    """The head called `name`, such as `conv_1280`. Raises `ValueError` for a name that is none."""
    kind, _, number = name.rpartition("_")
    if kind not in HEAD_KINDS or not number.isdigit() or int(number) < 1:
        raise ValueError(f"heads: {name!r} is none; {', '.join(HEAD_KINDS)} and channels, such as conv_1280")
    channels = int(number)
    if kind == "conv":
        return ConvBNAct(channels, act=act)
    return PooledConv(channels, act, bias=kind == "pooled", norm=kind == "pooled_bn")
