"""One file per block kind: its frozen data, its costs, its torch module, and what others must know of it.

A new kind is a new file here (or anywhere, if it is imported before its layers are read): a frozen dataclass under
`@register`. The files of this folder are found by themselves; those that other packages name are exported. `parts`
holds what they share; nothing here imports torch before a layer is built.
"""

import importlib
import pkgutil

from search_spaces.blocks.classifier import Classifier
from search_spaces.blocks.conv_bn_act import ConvBNAct
from search_spaces.blocks.depthwise_separable import DepthwiseSeparable
from search_spaces.blocks.fused_bottleneck import FusedBottleneck
from search_spaces.blocks.inverted_residual import InvertedResidual
from search_spaces.blocks.layer import KINDS, Layer, layer_from_dict, register
from search_spaces.blocks.linear_bottleneck import LinearBottleneck
from search_spaces.blocks.pooled_conv import PooledConv
from search_spaces.blocks.residual_block import ResidualBlock
from search_spaces.blocks.skip import Skip
from search_spaces.blocks.squeeze_excite import SqueezeExcite
from search_spaces.blocks.universal_bottleneck import UniversalBottleneck

__all__ = [
    "KINDS",
    "Classifier",
    "ConvBNAct",
    "DepthwiseSeparable",
    "FusedBottleneck",
    "InvertedResidual",
    "Layer",
    "LinearBottleneck",
    "PooledConv",
    "ResidualBlock",
    "Skip",
    "SqueezeExcite",
    "UniversalBottleneck",
    "layer_from_dict",
    "register",
]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_file.name}")
