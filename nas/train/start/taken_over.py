"""Weights to begin with, of a network that may have had other classes or input channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from timm.models import adapt_input_conv
from torch import Tensor, nn

from nas.data import ImageData
from nas.networks import model_folder, weights
from nas.networks.trained_data import are_others

HEADS = ("classifier.weight", "classifier.bias", "head.fc.weight", "head.fc.bias")
STEMS = ("conv_stem.weight", "stem.conv.weight")


@dataclass(frozen=True)
class TakenOver:
    """How many tensors of `origin` were `taken` as they are; `fresh`: names of those that begin at random.

    `adapted`: of those that were fitted to other input channels, as timm does it: summed to one channel, or repeated
    and scaled.
    """

    origin: str
    taken: int
    adapted: tuple[str, ...]
    fresh: tuple[str, ...]

    @property
    def sentence(self) -> str:
        said = f"begins with {self.taken} tensors of {self.origin}"
        said += f"; {', '.join(self.adapted)} fitted to the input channels" if self.adapted else ""
        return said + (f"; {', '.join(self.fresh)} begin at random, for other classes" if self.fresh else "")


def of_other_classes(origin: str, data: ImageData) -> bool:
    """Whether the weights in `origin` belong to a model folder that names other classes than `data` has, or otherwise
    ordered ones: as many of them fit by their shape, and mean something else."""
    folder = model_folder.folder_in(origin)
    names = None if folder is None else model_folder.read(folder).pretrained_cfg.get("label_names")
    return names is not None and are_others(names, data)


def take_over(network: nn.Module, found: Mapping[str, Tensor], origin: str, other_classes: bool = False) -> TakenOver:
    """Load `found` into `network`, but for a classifier of other classes; a stem of other channels is adapted.

    `other_classes`: they are others, even where there are as many. Raises `ValueError` where anything else does not
    fit.
    """
    own, fitted = network.state_dict(), dict(found)
    adapted, fresh = [], []
    for key, value in found.items():
        is_same = key in own and own[key].shape == value.shape
        if key not in own or (is_same and not (other_classes and key in HEADS)):
            continue
        if key in HEADS and own[key].shape[1:] == value.shape[1:]:
            fitted[key] = own[key]
            fresh.append(key)
        elif key in STEMS and own[key].shape[2:] == value.shape[2:] and len(own[key]) == len(value):
            channels = own[key].shape[1]
            if channels != 1 and value.shape[1] != 3:
                raise ValueError(
                    f"{origin} takes images of {value.shape[1]} channels, the network {channels}; weights are fitted "
                    "from 3 channels to any number, and from any number to 1"
                )
            if value.shape[1] == 3:
                fitted[key] = adapt_input_conv(channels, value)
            else:
                fitted[key] = value.float().sum(1, keepdim=True).to(value.dtype)
            adapted.append(key)
    weights.load(network, fitted, origin)
    return TakenOver(origin, len(found) - len(adapted) - len(fresh), tuple(adapted), tuple(fresh))
