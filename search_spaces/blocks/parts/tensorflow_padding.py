"""Convolution padded as TensorFlow pads: by what the stride needs at this size, an odd zero behind the map."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from timm.layers import Conv2dSame, pad_same
from torch import Tensor, nn


class TensorflowConv2d(Conv2dSame):
    """timm's `Conv2dSame`, which is `nn.Conv2d` behind zeros that depend on the input's height and width."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One node of the graphs that torch.fx records, as in `DepthwiseConv2d`: the zeros are counted in Python.
        self.__module__ = nn.Conv2d.__module__

    def with_weight(self, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        """What it makes of `x` with another kernel and stride."""
        groups = x.shape[1] // weight.shape[1]
        return F.conv2d(pad_same(x, list(weight.shape[2:]), [stride, stride]), weight, None, stride, groups=groups)
