"""Weights of a fresh network."""

from __future__ import annotations

import torch
from torch import nn


def init_weights(module: nn.Module) -> None:
    """MobileNet initialisation, in place: convolutions N(0, sqrt(2 / fan_out)), linear U(+-1 / sqrt(max(in, out))).

    fan_out is counted per group. Convolutions as timm's EfficientNet family has them.

    Departure: timm draws linear weights from U(+-1 / sqrt(out)), made for 1,000 classes: +-0.316 for ten, times 1,984
    features. Three random FBNets on the digits (16 pixels, recipe quick) reach 92.9% with ours and 88.3% with timm's
    after three epochs, 99.0% and 98.0% after ten.
    """
    if any(parameter.is_meta for parameter in module.parameters()):
        return  # without memory there is nothing to draw, and torch takes three times as long to draw nothing
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            fan_out = child.kernel_size[0] * child.kernel_size[1] * child.out_channels // child.groups
            nn.init.normal_(child.weight, 0.0, (2.0 / fan_out) ** 0.5)
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        elif isinstance(child, nn.BatchNorm2d):
            nn.init.ones_(child.weight)
            nn.init.zeros_(child.bias)
        elif isinstance(child, nn.Linear):
            bound = 1.0 / max(child.out_features, child.in_features) ** 0.5
            with torch.no_grad():
                child.weight.uniform_(-bound, bound)
                child.bias.zero_()


def zero_init_residuals(module: nn.Module) -> None:
    """Set to zero the scale of the last batch norm of every residual block in `module`, in place.

    Every such block starts as the identity, so a deep net of narrow blocks learns from the first steps on (Goyal et
    al., arXiv 1706.02677, section 5.1). Norms that an activation follows keep theirs: a ReLU of zeros has no gradient.
    """
    for child in module.modules():
        if getattr(child, "has_residual", False):
            norms = [m for m in child.modules() if isinstance(m, nn.BatchNorm2d)]
            if isinstance(getattr(norms[-1], "act", None), nn.Identity):
                nn.init.zeros_(norms[-1].weight)
