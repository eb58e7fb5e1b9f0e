from __future__ import annotations

import dataclasses

import pytest
import torch

from nas.data import ImageData
from nas.data.digits import digits
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual


@pytest.fixture(scope="session")
def data() -> ImageData:
    """240 training images of the digits, and all test images, at 8 pixels."""
    whole = digits(8)
    return dataclasses.replace(whole, train=whole.train.subset(torch.arange(0, 1200, 5)))


@pytest.fixture(scope="session")
def arch() -> Arch:
    """A network small enough to train in a test."""
    stages = (
        (ConvBNAct(8, 3),),
        (InvertedResidual(8, 3, 1, 2.0), InvertedResidual(16, 3, 2, 2.0)),
        (ConvBNAct(32), Classifier(10)),
    )
    return Arch(8, stages, in_channels=1)
