"""Plain networks of dense convolutions, at any width.

Two forms in the style of VGG (Simonyan and Zisserman, arXiv 1409.1556: 3 x 3 convolutions, twice the channels at half
the size of the map) and of ResNet (He et al., arXiv 1512.03385):

* `plain_conv4`: a convolution and three more, each of stride 2. Of the hand-made forms that were compared on small
  images at equal latency it was the best one, dense or depthwise (`experiments/dense_or_depthwise`).
* `plain_resnet10`: a convolution and four stages of one basic block each, for images of 64 pixels and more.

Departure: batch norms, and instead of fully connected layers one 1x1 convolution before the pooling (`plain_conv4`).
"""

from __future__ import annotations

from dataclasses import dataclass

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, Layer, ResidualBlock
from search_spaces.costs import make_divisible
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.base import Family
from search_spaces.resolution import Resolution

STEM_CHANNELS = 32
CONV_CHANNELS = (64, 128, 256)  # of the stages of `plain_conv4`, which halve the map
CONV_HEAD = 256
RESIDUAL_CHANNELS = (32, 64, 128, 256)  # of the basic blocks of `plain_resnet10`, each at half the size


@dataclass(frozen=True)
class Form:
    """A form at its usual image size; `residual`: of basic blocks, else of single convolutions."""

    residual: bool
    resolution: int


FORMS = {"plain_conv4": Form(False, 32), "plain_resnet10": Form(True, 224)}


def plain(
    form: str = "plain_conv4",
    width: float = 1.0,
    resolution: Resolution | None = None,
    num_classes: int = 1000,
    in_channels: int = 3,
) -> Arch:
    """One of `FORMS` with `width` times the channels, rounded to multiples of 8.

    Raises `ValueError` for other forms and for widths that are not positive.
    """
    if form not in FORMS:
        raise ValueError(f"unknown plain network {form!r}; one of {', '.join(FORMS)}")
    check_multipliers(width=width)

    def scaled(channels: int) -> int:
        return make_divisible(channels * width)

    stages: list[tuple[Layer, ...]] = [(ConvBNAct(scaled(STEM_CHANNELS), 3, 2),)]
    head: tuple[Layer, ...] = (Classifier(num_classes),)
    if FORMS[form].residual:
        stages += [(ResidualBlock(scaled(channels), 3, 2),) for channels in RESIDUAL_CHANNELS]
    else:
        stages += [(ConvBNAct(scaled(channels), 3, 2),) for channels in CONV_CHANNELS]
        head = (ConvBNAct(scaled(CONV_HEAD)), *head)
    return Arch(resolution or FORMS[form].resolution, (*stages, head), in_channels)


def _arch(form: str, num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
    return plain(form, 1.0, resolution, num_classes, in_channels)


FAMILY = Family(
    "Plain network",
    "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    "1409.1556",
    {name: name for name in FORMS},
    _arch,
    figures={},  # nobody published accuracies of these very networks
    num_classes={"plain_conv4": 10},
)
published = FAMILY.published
