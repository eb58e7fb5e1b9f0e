"""Forms of blocks by short names, such as `conv_k3`, `fused_k3_e4` and `ir_k5_e4_se`.

A name is a kind and its fields: `k` the kernel, `e` the expansion, `a` the first depthwise kernel of a universal
bottleneck; `se` is MobileNetV3's squeeze-and-excitation, `sei` MnasNet's, `noskip` a block without its residual;
`noexp` and `sep` are FBNet's variants (`InvertedResidual.expand_at_1`, `num_depthwise`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from search_spaces.blocks import KINDS, Layer, layer_from_dict
from search_spaces.card_blocks import expand_block
from search_spaces.families import mnasnet, mobilenetv3

KIND_OF = {
    "conv": "conv_bn_act",
    "res": "residual_block",
    "fused": "fused_bottleneck",
    "ds": "depthwise_separable",
    "ir": "inverted_residual",
    "uib": "universal_bottleneck",
    "skip": "skip",
}
FLAGS: dict[str, tuple[str, Any]] = {
    "se": ("se", mobilenetv3.SE),
    "sei": ("se", mnasnet.SE),
    "noskip": ("residual", False),
    "noexp": ("expand_at_1", False),
    "sep": ("num_depthwise", 2),
}
PART = re.compile(r"([ake])(\d+(?:\.\d+)?)")
EXAMPLES = "conv_k3, res_k3, fused_k3_e4, ds_k3, ir_k5_e4_se, uib_a3_k5_e4, skip"


@dataclass(frozen=True)
class Form:
    """A block without its channels, stride and (where `fields` has none) activation, and its name."""

    name: str
    kind: str
    fields: tuple[tuple[str, Any], ...]

    def layer(self, out_channels: int, stride: int, act: str) -> Layer:
        """This block; `act` where it has no activation of its own."""
        return _layer(self, out_channels, stride, act)

    def fits(self, stride: int) -> bool:
        """Whether it can have `stride`: 1x1 convolutions alone cannot."""
        try:
            self.layer(8, stride, "relu")
        except ValueError:
            return False
        return True


@cache
def _layer(form: Form, out_channels: int, stride: int, act: str) -> Layer:
    fields = {"act": act, **dict(form.fields), "out_channels": out_channels, "stride": stride}
    return KINDS[form.kind](**fields)


def named(name: str) -> Form:
    """The form called `name`. Raises `ValueError` for a name that says nothing, and for a block that there is not."""
    word, *parts = name.split("_")
    if word not in KIND_OF:
        raise ValueError(f"unknown form {name!r}: it begins with one of {', '.join(KIND_OF)}; for example {EXAMPLES}")
    kernel = "middle_kernel" if word == "uib" else "kernel_size"
    letters = {"a": "start_kernel", "k": kernel, "e": "expand_ratio"}
    fields: dict[str, Any] = {}
    for part in parts:
        number = PART.fullmatch(part)
        if number:
            letter, value = number.groups()
            fields[letters[letter]] = float(value) if letter == "e" else int(float(value))
        elif part in FLAGS:
            field, value = FLAGS[part]
            fields[field] = value
        else:
            raise ValueError(f"form {name!r}: {part!r} means nothing; for example {EXAMPLES}")
    return _checked(Form(name, KIND_OF[word], tuple(fields.items())))


def of_cards(entries: Sequence[str | Mapping[str, Any]]) -> tuple[Form, ...]:
    """The forms that a card lists: names, or blocks as `from_card` takes them, whose fields may be lists.

    Raises `ValueError` saying which entry is wrong, and for a form that is listed twice.
    """
    found: list[Form] = []
    for entry in entries:
        if isinstance(entry, str):
            found.append(named(entry))
            continue
        for block in expand_block(entry):
            kind = block.pop("kind")
            read = layer_from_dict({"kind": kind, **block, "out_channels": 8})
            fields = tuple((name, getattr(read, name)) for name in block)
            found.append(_checked(Form(read.label, kind, fields)))
    layers = [form.layer(8, 1, "relu") for form in found]
    for form, layer in zip(found, layers, strict=True):
        if layers.count(layer) > 1:
            raise ValueError(f"the form {form.name} is listed twice; drop one")
    return tuple(found)


def _checked(form: Form) -> Form:
    """`form`. Raises `ValueError` with its name where it is not a block."""
    try:
        form.layer(8, 1, "relu")
    except (TypeError, ValueError) as error:
        raise ValueError(f"form {form.name!r}: {error}") from None
    return form
