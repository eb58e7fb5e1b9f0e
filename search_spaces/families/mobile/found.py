"""Networks that searches of this space found, at the width at which they were found: where later ones begin.

All are a stem, one inverted residual of expansion 6, dense convolutions and a 1x1 one, and differ in where they have
their channels and strides. Against plain convolutions of their time, trained anew with seeds that chose nothing, they
are ahead or level (`experiments/wins`, `experiments/plain_levers`): on images below 65 pixels, and on no others yet.
"""

from __future__ import annotations

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, Layer

EXPANSION = 6
HEAD = 256


def _network(stem: int, bottleneck: InvertedResidual, *channels: int) -> Arch:
    """A stem, `bottleneck`, a convolution of stride 2 for each of `channels`, a 1x1 convolution."""
    body = (ConvBNAct(stem, 3, 2), bottleneck, *(ConvBNAct(c, 3, 2) for c in channels))
    head: tuple[Layer, ...] = (ConvBNAct(HEAD), Classifier(10))
    return Arch(32, (*((layer,) for layer in body), head), 3)


def _bottleneck(channels: int, stride: int) -> InvertedResidual:
    return InvertedResidual(channels, 3, stride, EXPANSION, act="relu")


FOUND: dict[str, dict[str, Arch]] = {
    "small": {
        "early_bottleneck": _network(16, _bottleneck(24, 1), 48, 128, 96),  # Fashion-MNIST, an Intel Xeon, seed 1
        "strided_bottleneck": _network(32, _bottleneck(48, 2), 96, 256),  # CIFAR-10, an AMD EPYC, seed 0
        "strided_bottleneck_thick": _network(32, _bottleneck(48, 2), 128, 56),  # Fashion-MNIST, an AMD EPYC, seed 0
    },
    "paper": {},  # none was searched for on images of more pixels
}
"""By the size of the images, as `geometry_of` calls it, and by name. Shared studies know what they were begun with: one
more network here needs one more `Since` in `nas.search.references.starting`, which finds what was before."""
