"""The entry in timm's registry under which timm finds our networks: `timm.create_model("nas_net", arch=...)`."""

from __future__ import annotations

from typing import Any

from timm.models import generate_default_cfgs, register_model
from torch import nn

from nas.networks import ENTRY

default_cfgs = generate_default_cfgs({ENTRY: {"first_conv": "conv_stem", "classifier": "classifier"}})


@register_model
def nas_net(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """A network of an arch; `arch` is an arch file, its content, or the name of a published network."""
    from nas.networks.creation import build_for_timm  # it imports what imports timm

    return build_for_timm(pretrained=pretrained, **kwargs)
