"""The image and keyword networks of MLPerf Tiny (Banbury et al., 2021, arXiv 2106.07597) and of its reference code.

* `ds_cnn_kws`: keyword spotting on 49 x 10 cepstral coefficients, twelve classes (Zhang et al., arXiv 1711.07128).
* `resnet8`: 32-pixel colour images, ten classes; `resnet8_40`: with 40 filters instead of 16 in its first stage.
* `mobilenetv1_025_96`: is a person there, 96-pixel colour images (Howard et al., arXiv 1704.04861, width 0.25).

The reference counts parameters as Keras does: its convolutions have biases although a batch norm follows, and a batch
norm has moving statistics beside scale and shift. `keras_params` counts so; `Arch.params` counts neither, and both
compute the same functions. Multiply-adds are those of convolutions and the classifier, as everywhere here. Padding and
epsilon of the batch norms are TensorFlow's.

Departure: the reference averages the first 24 of DS-CNN's 25 rows before the classifier, we average all; its dropout is
a matter of recipes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, DepthwiseSeparable, Layer, ResidualBlock
from search_spaces.families.base import TENSORFLOW_EPS, Family
from search_spaces.resolution import Resolution, Size

TENSORFLOW = "tensorflow"  # padding
DS_CNN_INPUT = Size(49, 10)  # time steps, coefficients
DS_CNN_CHANNELS = 64
DS_CNN_BLOCKS = 4
# channels at width 1 and stride of MobileNetV1's blocks
MOBILENETV1 = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)


def ds_cnn(num_classes: int = 12, resolution: Resolution = DS_CNN_INPUT, in_channels: int = 1) -> Arch:
    """DS-CNN: a 10 x 4 convolution of stride 2, then four depthwise-separable blocks of 64 channels."""
    stem = ConvBNAct(DS_CNN_CHANNELS, (10, 4), 2, padding=TENSORFLOW)
    blocks = (_separable(DS_CNN_CHANNELS, 1),) * DS_CNN_BLOCKS
    return Arch(resolution, ((stem,), blocks, (Classifier(num_classes),)), in_channels)


def resnet8(num_classes: int = 10, resolution: Resolution = 32, in_channels: int = 3, filters: int = 16) -> Arch:
    """ResNet8: three basic blocks of `filters`, twice and four times as many channels behind a 3 x 3 convolution."""
    blocks = [
        ResidualBlock(filters * 2**i, 3, 1 if i == 0 else 2, projection="bias", padding=TENSORFLOW) for i in range(3)
    ]
    stages = ((ConvBNAct(filters, 3),), *((block,) for block in blocks), (Classifier(num_classes),))
    return Arch(resolution, stages, in_channels)


def mobilenetv1(num_classes: int = 2, resolution: Resolution = 96, in_channels: int = 3, width: float = 0.25) -> Arch:
    """MobileNetV1 (arXiv 1704.04861, Table 1) at `width`, one stage for each map size."""
    stages: list[tuple[Layer, ...]] = [(ConvBNAct(int(32 * width), 3, 2, padding=TENSORFLOW),)]
    for channels, stride in MOBILENETV1:
        block = _separable(int(channels * width), stride)
        if stride > 1 or len(stages) == 1:
            stages.append((block,))
        else:
            stages[-1] = (*stages[-1], block)
    return Arch(resolution, (*stages, (Classifier(num_classes),)), in_channels)


def _separable(channels: int, stride: int) -> Layer:
    return DepthwiseSeparable(channels, 3, stride, residual=False, linear=False, padding=TENSORFLOW)


def keras_params(arch: Arch) -> int:
    """Parameters of `arch` as Keras counts them where every convolution has a bias.

    Beyond `arch.params`, each channel of a batch norm has the bias of its convolution, a moving mean and a moving
    variance.
    """
    convs = (conv for layer, shape in arch.walk() for conv in layer.convs(shape))
    return arch.params + sum(3 * conv.out_channels for conv in convs if conv.norm)


FORMS = {
    "ds_cnn_kws": ds_cnn,
    "resnet8": resnet8,
    "resnet8_40": partial(resnet8, filters=40),
    "mobilenetv1_025_96": mobilenetv1,
}


def _arch(form: Callable[..., Arch], num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
    given = {} if resolution is None else {"resolution": resolution}
    return form(num_classes=num_classes, in_channels=in_channels, **given)


FAMILY = Family(
    "MLPerf Tiny network",
    "MLPerf Tiny Benchmark",
    "2106.07597",
    FORMS,
    _arch,
    figures={},  # its accuracies are targets of the benchmark, not of one network
    batch_norm_eps=dict.fromkeys(FORMS, TENSORFLOW_EPS),
    num_classes={"ds_cnn_kws": 12, "resnet8": 10, "resnet8_40": 10, "mobilenetv1_025_96": 2},
    in_channels={"ds_cnn_kws": 1},
)
published = FAMILY.published
