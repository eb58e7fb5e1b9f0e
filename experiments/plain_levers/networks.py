"""Four plain convolutions, and what may be changed of them: every form at any width."""

from __future__ import annotations

from dataclasses import dataclass, replace

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, Layer, PooledConv, ResidualBlock
from search_spaces.costs import make_divisible

IN_CHANNELS, NUM_CLASSES = 1, 10
WIDTHS = tuple(round(0.2 * 1.07**i, 4) for i in range(40))  # 0.2 to 2.8
NO_HEAD = 0


@dataclass(frozen=True)
class Conv:
    """A stage: `depth` convolutions of `channels` channels at width 1, the first with `stride`.

    `residual`: a basic block of two convolutions instead of each; `expand`: an inverted residual of that expansion.
    """

    channels: int
    kernel: int = 3
    stride: int = 2
    depth: int = 1
    residual: bool = False
    expand: float | None = None

    def layers(self, width: float, act: str) -> tuple[Layer, ...]:
        channels = make_divisible(self.channels * width)
        strides = (self.stride, *(1 for _ in range(self.depth - 1)))
        if self.expand:
            return tuple(InvertedResidual(channels, self.kernel, stride, self.expand, act=act) for stride in strides)
        if self.residual:
            return tuple(ResidualBlock(channels, self.kernel, stride, act=act) for stride in strides)
        return tuple(ConvBNAct(channels, self.kernel, stride, act=act) for stride in strides)


@dataclass(frozen=True)
class Form:
    """A stem and the stages behind it, a 1x1 convolution before (`head`) or behind the pooling (`pooled`)."""

    stages: tuple[Conv, ...]
    head: int = 256
    pooled: int = NO_HEAD
    act: str = "relu"
    resolution: int = 32

    def network(self, width: float) -> Arch:
        """This form at `width` times the channels of its stages, rounded to multiples of 8; the head keeps its own."""
        stages = [stage.layers(width, self.act) for stage in self.stages]
        head: tuple[Layer, ...] = (Classifier(NUM_CLASSES),)
        if self.pooled:
            head = (PooledConv(self.pooled, self.act, bias=True), *head)
        if self.head:
            head = (ConvBNAct(self.head, act=self.act), *head)
        return Arch(self.resolution, (*stages, head), IN_CHANNELS)

    def ladder(self) -> dict[float, Arch]:
        """The distinct networks, narrow to wide, by width."""
        found: dict[str, tuple[float, Arch]] = {}
        for width in WIDTHS:
            arch = self.network(width)
            found.setdefault(arch.id, (width, arch))
        return dict(found.values())


def _four(*channels: int) -> tuple[Conv, ...]:
    return tuple(Conv(c) for c in channels)


BASE = Form(_four(16, 32, 64, 128))
FORMS: dict[str, Form] = {
    "base": BASE,
    # activation
    "hard swish": replace(BASE, act="hard_swish"),
    "silu": replace(BASE, act="silu"),
    # head
    "no head": replace(BASE, head=NO_HEAD),
    "head 512": replace(BASE, head=512),
    "pooled head 512": replace(BASE, head=NO_HEAD, pooled=512),
    # resolution
    "28 pixels": replace(BASE, resolution=28),
    "24 pixels": replace(BASE, resolution=24),
    # where the channels are
    "early": Form(_four(24, 48, 64, 96)),
    "late": Form(_four(12, 24, 64, 192)),
    "narrow stem": Form(_four(8, 32, 64, 128)),
    "three": Form(_four(16, 48, 128)),
    # kernels
    "stem of kernel 5": Form((Conv(16, 5), *_four(32, 64, 128))),
    "second of kernel 5": Form((Conv(16), Conv(32, 5), *_four(64, 128))),
    # depth
    "five, at 8 pixels": Form((Conv(16), Conv(32, depth=2), *_four(64, 128))),
    "five, at 4 pixels": Form((*_four(16, 32), Conv(64, depth=2), Conv(128))),
    "five, at 2 pixels": Form((*_four(16, 32, 64), Conv(128, depth=2))),
    "five, at 16 pixels": Form((Conv(16), Conv(16, stride=1), *_four(32, 64, 128))),
    "residual at 8 pixels": Form((Conv(16), Conv(32, residual=True), *_four(64, 128))),
    "residual at 4 pixels": Form((*_four(16, 32), Conv(64, residual=True), Conv(128))),
    "residual at 2 pixels": Form((*_four(16, 32, 64), Conv(128, residual=True))),
    "residual at all sizes": Form((Conv(16), *(Conv(channels, residual=True) for channels in (32, 64, 128)))),
    # what searches of `wins` found, at their own widths: several things at once
    "inverted residual at 16 pixels": Form((Conv(16), Conv(24, stride=1, expand=6), *_four(48, 128, 96))),
    "inverted residual second": Form((Conv(32), Conv(48, expand=6), *_four(96, 256))),  # CIFAR-10, seed 0
    "inverted residual second, narrow end": Form((Conv(32), Conv(48, expand=6), *_four(128, 56))),  # Fashion-MNIST
    # total stride 8
    "total stride 8": Form((*_four(16, 32, 64), Conv(128, stride=1))),
}
