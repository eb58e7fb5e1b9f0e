"""The mean probability of the right class, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from nas.train.accelerator import make_accelerator
from nas.train.accuracy import right_class_percent
from tests.methods.gradient_task import DATA


def test_the_probability_of_the_right_class_by_hand() -> None:
    """A network that gives class 1 three times the odds of every other one, whatever it sees."""
    classes, labels = DATA.num_classes, torch.as_tensor(DATA.test.labels)
    linear = nn.Linear(math.prod(DATA.input_shape), classes)
    nn.init.zeros_(linear.weight)
    with torch.no_grad():
        linear.bias.copy_(math.log(3) * (torch.arange(classes) == 1))
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), linear).train()
    share = float((labels == 1).float().mean())
    expected = 100 * (3 * share + (1 - share)) / (classes + 2)
    assert 0 < share < 1
    assert right_class_percent(network, DATA.test, make_accelerator("cpu")) == pytest.approx(expected)
    assert network.training
