"""Convolution padded as TensorFlow pads: by what the stride needs at this size, an odd zero behind the map."""

from __future__ import annotations

from typing import Any

from timm.layers import Conv2dSame
from torch import nn


class TensorflowConv2d(Conv2dSame):
    """timm's `Conv2dSame`, which is `nn.Conv2d` behind zeros that depend on the input's height and width."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One node of the graphs that torch.fx records, as in `DepthwiseConv2d`: the zeros are counted in Python.
        self.__module__ = nn.Conv2d.__module__
