"""NAS-Bench-Macro (Su et al., CVPR 2021): its space as networks that can be built, and its table of accuracies.

Eight layers of three candidates each, 6,561 networks, every one trained on CIFAR-10 three times by its authors. The
parameters and MACs of the space here equal the table's for all of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, Layer, Skip
from search_spaces.space import LayerwiseSpace, Population

DATA = Path(__file__).parent / "data" / "nas_bench_macro_cifar10.json"
CHANNELS = ((64, 2, 2), (128, 2, 3), (256, 2, 3))  # of a stage: channels, stride of its first layer, layers


def space(resolution: int = 32, num_classes: int = 10) -> LayerwiseSpace:
    """The space; choices are 0 identity (a 1x1 convolution where the shape changes), 1 k3_e3, 2 k5_e6."""
    stages: list[list[list[Layer]]] = [[[ConvBNAct(32, 3)]]]
    for channels, first, depth in CHANNELS:
        strides = [first] + [1] * (depth - 1)
        stages.append(
            [
                [Skip(channels, s), InvertedResidual(channels, 3, s, 3), InvertedResidual(channels, 5, s, 6)]
                for s in strides
            ]
        )
    stages.append([[ConvBNAct(1280)], [Classifier(num_classes)]])
    return LayerwiseSpace("nas_bench_macro", resolution, stages)


class Table:
    """The published table by genotype: `accuracy` (percent, mean of three seeds), `seeds` (n, 3), `params`, `macs`.

    Rows are in the order of `population`, which lists all 6,561 genotypes; `index` finds theirs.
    """

    def __init__(self, path: str | Path = DATA) -> None:
        data: dict[str, dict[str, Any]] = json.loads(Path(path).read_text())
        names = sorted(data)
        self.population: Population = np.array([[int(digit) for digit in name] for name in names])
        self.seeds = np.array([data[name]["test_acc"] for name in names])
        self.accuracy = np.array([data[name]["mean_acc"] for name in names])
        self.macs, self.params = (np.array([float(data[n][key]) for n in names]) for key in ("flops", "params"))

    def index(self, population: Population) -> NDArray[np.int64]:
        """Row numbers of genotypes: (n, 8) -> (n,)."""
        return np.atleast_2d(population) @ 3 ** np.arange(7, -1, -1)
