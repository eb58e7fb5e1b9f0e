"""Published networks of CIFAR's size, trained by the same recipe beside the found ones, whatever time they take.

Their form is that of https://github.com/chenyaofo/pytorch-cifar-models for 32 pixels: torchvision's ShuffleNetV2
with a stem of stride 1 and without the pooling behind it, MobileNetV2 with stride 1 in the stem and in the stage of 24
channels. Both halve the map three times, to 4 pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import shufflenet_v2_x0_5

from nas.runs.seeding import seed_global
from nas.train import training
from search_spaces.arch import Arch
from search_spaces.families.mobilenetv2.space import mobilenetv2
from search_spaces.recipe import Recipe

DATASET = "cifar10"  # whose form it is
RESOLUTION, NUM_CLASSES = 32, 10
SHUFFLENET = "shufflenet_v2_x0_5 for 32 pixels"


PUBLISHED_TOP1 = {"ShuffleNetV2 x0.5": 90.1, "MobileNetV2 x0.5": 92.9}  # %, CIFAR-10, 200 epochs on lossless images


def half_mobilenetv2() -> Arch:
    """MobileNetV2 x0.5, its head of 1280 channels, at the strides of small images."""
    space = mobilenetv2(RESOLUTION, NUM_CLASSES, widths=(0.5,), depths=(1.0,), kernels=(3,), expansions=(6,))
    return space.decode((0,) * len(space.variables))


def half_shufflenet() -> nn.Module:
    """torchvision's ShuffleNetV2 x0.5 without the first two of its five halvings."""
    network = shufflenet_v2_x0_5(num_classes=NUM_CLASSES)
    network.conv1[0].stride = (1, 1)
    network.maxpool = nn.Identity()
    return network


def built(what: str, recipe: Recipe, seed: int) -> nn.Module:
    """The network that a record calls `what` (see `what_of`), initialised from `seed`."""
    if what == SHUFFLENET:
        seed_global(seed, "initialisation")
        return half_shufflenet()
    return training.build_network(Arch.from_json(what), recipe, seed=seed)


def what_of(record: dict[str, Any]) -> str:
    """The network of a record: as JSON, or the name of one that is no `Arch`."""
    return str(record["id"]) if record["arch"] is None else Arch.from_dict(record["arch"]).to_json()


def lines() -> list[dict[str, Any]]:
    """The published networks as records of the results, in the order in which they train."""
    shuffle, mobile = half_shufflenet(), half_mobilenetv2()
    params = sum(weight.numel() for weight in shuffle.parameters())
    found = [
        {"id": SHUFFLENET, "macs": macs(shuffle), "params": params, "arch": None},
        {"id": mobile.id, "macs": mobile.macs, "params": mobile.params, "arch": mobile.to_dict()},
    ]
    more = {"kind": "published", "index": 0, "budget": None}
    return [{**more, "name": name, **line} for name, line in zip(PUBLISHED_TOP1, found, strict=True)]


def macs(network: nn.Module) -> int:
    """Multiply-adds of convolutions and linear layers for one image."""
    total = 0

    def count(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d | nn.Linear):
            total += module.weight[0].numel() * (out[0, 0].numel() if out.ndim == 4 else 1) * out.shape[1]

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    training_mode = network.training
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, RESOLUTION, RESOLUTION))
    network.train(training_mode)
    for hook in hooks:
        hook.remove()
    return total
