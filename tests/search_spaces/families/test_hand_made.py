"""Hand-made networks at any width, for images of any size."""

from __future__ import annotations

import itertools

import pytest
import torch

from nas.networks.network import build_network
from search_spaces import zoo
from search_spaces.families.hand_made.plain import FORMS, plain
from search_spaces.families.hand_made.scaling import HALVINGS, WIDTHS, fitted, ladder, widened

NAMES = ["mobilenetv2_100", "mobilenetv4_conv_small", "fbnetc_100", "spnasnet_100", "rexnetr_100", "plain_conv4"]


def test_four_convolutions_by_hand() -> None:
    """At width 1, one channel, 32 pixels: 16 x 16 x 9 x 32, then three that halve the map, head and classifier."""
    arch = plain("plain_conv4", 1.0, 32, 10, 1)
    convs = 16 * 16 * 9 * 32 + 8 * 8 * 9 * 32 * 64 + 4 * 4 * 9 * 64 * 128 + 2 * 2 * 9 * 128 * 256
    assert arch.macs == convs + 2 * 2 * 256 * 256 + 256 * 10
    assert [shape[1] for _, shape in arch.walk()] == [32, 16, 8, 4, 2, 2]
    with pytest.raises(ValueError, match="unknown plain network 'vgg'; one of plain_conv4, plain_resnet10"):
        plain("vgg")
    with pytest.raises(ValueError, match="width must be a finite number > 0, got 0"):
        plain(width=0)


def test_ten_layers_with_shortcuts() -> None:
    arch = plain("plain_resnet10", 0.5, 64, 10, 3)
    layers = sum(1 for layer, shape in arch.walk() for conv in layer.convs(shape) if conv.taps == 9 or not conv.norm)
    assert layers == 10 and [shape.channels for _, shape in arch.walk()] == [3, 16, 16, 32, 64, 128]


@pytest.mark.parametrize("form", FORMS)
def test_a_plain_network_runs(form: str) -> None:
    network = build_network(plain(form, 0.25, 32, 7, 1)).eval()
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize("name", NAMES)
def test_a_width_is_one_rule(name: str) -> None:
    arch = zoo.published(name)
    assert widened(arch, 1.0) is arch
    archs = [found for _, found in ladder(arch)]
    assert [found.macs for found in archs] == sorted(found.macs for found in archs)
    assert len({found.id for found in archs}) == len(archs)
    for found in archs[::16]:
        assert all(layer.out_channels % 8 == 0 for layer in found.layers if hasattr(layer, "out_channels"))
        assert found.num_classes == arch.num_classes and len(found.layers) == len(arch.layers)
    with pytest.raises(ValueError, match="width must be a finite number > 0"):
        widened(arch, -1)


def test_the_widths_are_a_grid_of_six_percent() -> None:
    assert WIDTHS[0] == 0.1 and 3.5 < WIDTHS[-1] <= 4
    assert all(1.04 < b / a < 1.08 for a, b in itertools.pairwise(WIDTHS))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("side", "size"), [(16, "tiny"), (28, "small"), (64, "small"), (224, "paper")])
def test_small_images_are_halved_less(name: str, side: int, size: str) -> None:
    before = zoo.published(name)
    arch = fitted(before, side, 10, 1)
    strides = [getattr(layer, "stride", 1) for layer in arch.layers]
    published = [getattr(layer, "stride", 1) for layer in before.layers]
    assert arch.num_classes == 10 and arch.in_channels == 1 and arch.resolution == side
    assert strides[0] == published[0] and strides.count(2) == min(HALVINGS[size], published.count(2))
    *_, (_, last) = [(layer, shape) for layer, shape in arch.walk() if layer.role != "classifier"]
    assert last.height >= 1
    if size == "paper":
        assert arch == zoo.published(name, 10, side, 1)
