"""The networks that are compared: five forms of each kind, each at any width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, DepthwiseSeparable, InvertedResidual, Layer
from search_spaces.costs import make_divisible

STEM_STRIDE = 2
IN_CHANNELS, NUM_CLASSES, HEAD_CHANNELS = 1, 10, 256
WIDTHS = tuple(round(0.2 * 1.09**i, 4) for i in range(34))  # 0.2 to 3.4


@dataclass(frozen=True)
class Stage:
    """`depth` blocks of `channels` channels at width 1, the first with `stride`; `block(channels, stride)`."""

    block: Callable[[int, int], Layer]
    channels: int
    depth: int
    stride: int


def conv(kernel: int = 3) -> Callable[[int, int], Layer]:
    """Plain convolution, BN, ReLU."""
    return lambda channels, stride: ConvBNAct(channels, kernel, stride)


def bottleneck(expansion: float, kernel: int = 3) -> Callable[[int, int], Layer]:
    """MobileNetV2's inverted residual."""
    return lambda channels, stride: InvertedResidual(channels, kernel, stride, expansion)


def separable(kernel: int = 3) -> Callable[[int, int], Layer]:
    """Depthwise and 1x1 convolution."""
    return lambda channels, stride: DepthwiseSeparable(channels, kernel, stride)


def _mobilenetv2(depths: Sequence[int]) -> tuple[Stage, ...]:
    """MobileNetV2's stages at total stride 8 behind the stem, with the given depths."""
    plan = ((1, 16, 1), (6, 24, 1), (6, 32, 2), (6, 64, 2), (6, 96, 1), (6, 160, 2), (6, 320, 1))
    return tuple(
        Stage(separable() if e == 1 else bottleneck(e), c, depth, s)
        for (e, c, s), depth in zip(plan, depths, strict=True)
        if depth
    )


def _stages(block: Callable[[int, int], Layer], *shape: tuple[int, int, int]) -> tuple[Stage, ...]:
    return tuple(Stage(block, *row) for row in shape)


FORMS: dict[str, dict[str, tuple[Stage, ...]]] = {
    "dense": {
        "seven": _stages(conv(), (16, 1, 1), (48, 2, 2), (96, 2, 2), (160, 1, 2)),
        "four": _stages(conv(), (32, 1, 2), (64, 1, 2), (128, 1, 2)),
        "nine": _stages(conv(), (16, 2, 1), (32, 3, 2), (64, 2, 2), (96, 1, 2)),
        "late": _stages(conv(), (16, 1, 2), (64, 2, 2), (128, 2, 1)),
        "kernel 5": (*_stages(conv(5), (16, 1, 1), (32, 1, 2)), *_stages(conv(), (64, 1, 2), (96, 1, 2))),
    },
    "depthwise": {
        "MobileNetV2": _mobilenetv2((1, 2, 3, 4, 3, 3, 1)),
        "MobileNetV2 half": _mobilenetv2((1, 1, 2, 2, 1, 2, 0)),
        "four stages": _stages(bottleneck(4, 5), (24, 1, 1), (40, 2, 2), (80, 2, 2), (128, 1, 2)),
        "wide expansion": _stages(bottleneck(6), (16, 1, 2), (32, 2, 2), (64, 2, 2)),
        "separable": _stages(separable(), (32, 1, 1), (64, 2, 2), (128, 3, 2), (256, 2, 2)),
    },
    "mixed": {
        "two dense": (
            *_stages(conv(), (24, 1, 1), (48, 1, 2)),
            *_stages(bottleneck(4, 5), (80, 2, 2), (128, 3, 2)),
        ),
        "one dense": (Stage(conv(), 32, 1, 1), *_stages(bottleneck(4), (48, 2, 2), (80, 2, 2), (128, 1, 2))),
        "three dense": (*_stages(conv(), (16, 1, 1), (32, 1, 2), (64, 1, 2)), Stage(bottleneck(4, 5), 128, 2, 2)),
        "two by two": (*_stages(conv(), (16, 1, 1), (48, 2, 2)), *_stages(bottleneck(3), (96, 2, 2), (128, 1, 2))),
        "separable end": (*_stages(conv(), (16, 1, 1), (48, 2, 2)), *_stages(separable(), (96, 2, 2), (192, 2, 2))),
    },
}


def network(kind: str, form: str, width: float, resolution: int = 32) -> Arch:
    """The network of `form` at `width` times its channels, rounded to multiples of 8; the head keeps its channels.

    The stem is a 3x3 convolution of 16 channels (times `width`) and stride 2. MobileNetV2's head of 1,280 channels is
    cut to the others' 256: at this size it would be most of the network.
    """
    stages: list[tuple[Layer, ...]] = [(ConvBNAct(make_divisible(16 * width), 3, STEM_STRIDE),)]
    for stage in FORMS[kind][form]:
        channels = make_divisible(stage.channels * width)
        stages.append(tuple(stage.block(channels, stage.stride if i == 0 else 1) for i in range(stage.depth)))
    stages.append((ConvBNAct(HEAD_CHANNELS), Classifier(NUM_CLASSES)))
    return Arch(resolution, tuple(stages), IN_CHANNELS)


def ladder(kind: str, form: str, resolution: int = 32) -> dict[float, Arch]:
    """The distinct networks of `form`, narrow to wide, by width."""
    found: dict[str, tuple[float, Arch]] = {}
    for width in WIDTHS:
        arch = network(kind, form, width, resolution)
        found.setdefault(arch.id, (width, arch))
    return dict(found.values())
