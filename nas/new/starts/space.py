"""The search space my_name: what may stand at each place of a network.

python -m nas.inspect --config-dir my_cards space=my_name
python -m nas.search --config-dir my_cards space=my_name
"""

from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, Skip
from search_spaces.resolution import Pixels
from search_spaces.space import LayerwiseSpace

CHANNELS = (16, 24, 40)  # of the stages; the first keeps the size of the images, each further one halves it
BLOCKS = 2  # of a stage; all but its first can be left out


def my_name(
    resolution: Pixels = 32, num_classes: int = 10, in_channels: int = 3, kernels: tuple[int, ...] = (3, 5)
) -> LayerwiseSpace:
    """Stages of inverted residuals, whose kernel and expansion are searched block by block.

    The card's keys are these arguments. `resolution` (pixels, or height and width), `num_classes` and `in_channels`
    are the data's where the card leaves them null.
    """
    # A network is a list of stages, a stage a list of layers, a layer a list of candidates. All candidates of a layer
    # give the same shape. Other blocks than these: search_spaces/blocks, one file a kind.
    network: list[list[list]] = [[[ConvBNAct(CHANNELS[0], 3)]]]  # one candidate: nothing to search
    for number, channels in enumerate(CHANNELS):
        stride = 1 if number == 0 else 2
        first = [InvertedResidual(channels, k, stride, expand_ratio=e) for k in kernels for e in (3, 6)]
        further = [InvertedResidual(channels, k, expand_ratio=e) for k in kernels for e in (3, 6)]
        network.append([first] + [[*further, Skip(channels)] for _ in range(BLOCKS - 1)])
    network.append([[ConvBNAct(128)], [Classifier(num_classes)]])  # a 1x1 convolution, then pooling and the classes
    return LayerwiseSpace("my_name", resolution, network, in_channels)
