"""Networks that searches of the mobile space found, at the width at which they were found: where later ones begin.

On images below 65 pixels, trained anew with seeds that chose nothing, they are ahead of four plain convolutions that
take as long or longer (`experiments/wins`, `experiments/plain_levers`). All are a stem, an inverted residual of
expansion 6 where plain networks have their second convolution, dense convolutions and a 1x1 one; they differ in where
their channels are.
"""

from __future__ import annotations

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, Layer

EXPANSION = 6
HEAD = 256


def _early_bottleneck(*channels: int) -> Arch:
    """A stem, an inverted residual and two convolutions of stride 2 each, a 1x1 convolution."""
    stem, second, third, fourth = channels
    stages: tuple[tuple[Layer, ...], ...] = (
        (ConvBNAct(stem, 3, 2),),
        (InvertedResidual(second, 3, 2, EXPANSION, act="relu"),),
        (ConvBNAct(third, 3, 2),),
        (ConvBNAct(fourth, 3, 2),),
        (ConvBNAct(HEAD), Classifier(10)),
    )
    return Arch(32, stages, 3)


FOUND: dict[str, dict[str, Arch]] = {
    "small": {
        "early_bottleneck": _early_bottleneck(32, 48, 96, 256),  # CIFAR-10, 10,000 images
        "early_bottleneck_wide_middle": _early_bottleneck(32, 48, 128, 56),  # Fashion-MNIST, 10,000 images
    },
    "paper": {},  # none was searched for on images of more pixels
}
"""By the size of the images, as `geometry_of` calls it, and by name."""
