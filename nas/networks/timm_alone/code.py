"""The Python code by which timm alone builds a network that a search found, where it knows all its blocks.

timm's registered models take no list of blocks, but the classes behind them do. Weights have timm's names already.
"""

from __future__ import annotations

from typing import Any

from nas.networks.network import FlatNetwork, Network
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, PooledConv

ACTIVATIONS = ("relu", "relu6", "hard_swish", "silu")  # those that timm has by these names
MOST_STRIDE = 32  # beyond it timm puts dilation for stride

SQUEEZE = (
    "",
    "def se(channels, act, gate):",
    "    return partial(SqueezeExcite, rd_channels=channels, force_act_layer=get_act_layer(act), gate_layer=gate)",
    "",
    "",
)


def code_of(network: Network | FlatNetwork, weights: str) -> str | None:
    """Code that makes `model`, as timm would build and we have trained it, with the weights file `weights`.

    None where timm has no such network: where it lacks a block, an activation, a padding or the order of strides.
    """
    arch = network.arch
    stages = blocks_of(arch)
    if stages is None or isinstance(network, FlatNetwork):
        return None
    stem, (last, *rest) = arch.stages[0][0], arch.stages[-1]
    assert isinstance(stem, ConvBNAct)
    settings: dict[str, Any] = {"stem_size": stem.out_channels, "num_classes": arch.num_classes}
    settings["in_chans"] = arch.in_channels
    family, act = "efficientnet.EfficientNet", stem.act
    if isinstance(last, PooledConv):
        family = "mobilenetv3.MobileNetV3"
        settings |= {"num_features": last.out_channels, "head_bias": last.bias, "head_norm": last.norm}
    else:
        settings["num_features"] = last.out_channels if rest and isinstance(last, ConvBNAct) else 0
    has_squeeze = any("se" in block for stage in stages for block in stage)
    module, kind = family.split(".")
    lines = [
        "from functools import partial",
        "from safetensors.torch import load_file",
        "from timm.layers import get_act_layer",
        f"from timm.models.{module} import {kind}{', SqueezeExcite' if has_squeeze else ''}",
        "from torch import nn",
        "",
        *(SQUEEZE if has_squeeze else ()),
        "blocks = [",
        *(f"    [\n{''.join(f'        {_written(block)},{chr(10)}' for block in stage)}    ]," for stage in stages),
        "]",
        f"model = {kind}(",
        "    blocks,",
        *(f"    {name}={value!r}," for name, value in settings.items()),
        f"    act_layer=get_act_layer({act!r}),",
        f"    norm_layer=partial(nn.BatchNorm2d, eps={network.batch_norm_eps!r}),",
        "    round_chs_fn=int,",
        ")",
    ]
    if stem.stride != 2:
        lines.append(f"model.conv_stem.stride = ({stem.stride}, {stem.stride})")
    lines.append(f"model.load_state_dict(load_file({weights}))")
    return "\n".join(lines)


def blocks_of(arch: Arch) -> list[list[dict[str, Any]]] | None:
    """The blocks of `arch`, stage by stage, as the arguments of timm's; None where timm cannot build them."""
    stem, head = arch.stages[0][0], arch.stages[-1]
    if not isinstance(stem, ConvBNAct) or (stem.kernel_size, stem.groups, stem.padding) != (3, 1, "symmetric"):
        return None
    if not all(_is_timms(layer, stem.act) for layer in head):
        return None
    stages: list[list[dict[str, Any]]] = []
    stride = 2  # timm counts from a stem of stride 2
    for stage in list(arch.walk_stages())[1:-1]:
        found: list[dict[str, Any]] = []
        for layer, shape in stage:
            if layer.is_identity(shape):
                continue
            block = layer.in_timm(shape)
            if block is None or (found and block["stride"] > 1):
                return None
            if {block["act_layer"], *block.get("se", ())[1:2]} - set(ACTIVATIONS):
                return None
            stride *= block["stride"]
            found.append(block)
        if not found:
            return None
        stages.append(found)
    return stages if stages and stride <= MOST_STRIDE else None


def _is_timms(layer: Any, act: str) -> bool:
    """Whether timm has `layer` in a head, with the activation of the stem."""
    if isinstance(layer, Classifier):
        return True
    if layer.act != act or act not in ACTIVATIONS:
        return False
    if isinstance(layer, PooledConv):
        return True
    is_plain = isinstance(layer, ConvBNAct) and (layer.stride, layer.groups, layer.padding) == (1, 1, "symmetric")
    return is_plain and layer.kernel_size == 1


def _written(block: dict[str, Any]) -> str:
    values = dict(block)
    squeeze = values.pop("se", None)
    text = repr(values)
    return text if squeeze is None else f"{text[:-1]}, 'se_layer': se{squeeze!r}}}"
