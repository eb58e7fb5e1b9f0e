"""The nearest point of a space is the network itself where it is one, and like it where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.families.fbnet import fbnet
from search_spaces.families.hand_made.scaling import fitted, widened
from search_spaces.families.mobile.space import mobile
from search_spaces.families.mobilenetv2.space import mobilenetv2
from search_spaces.pricing.nearest import NearestPoints, nearest
from search_spaces.space import SearchSpace

SPACES: list[SearchSpace] = [
    fbnet(32, 10, 3),
    mobile(32, 10, 3),
    mobilenetv2(32, 10, 3),
]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_a_point_is_its_own_nearest(space: SearchSpace) -> None:
    points = space.sample(5, np.random.default_rng(1))
    archs = [space.decode(point) for point in points.tolist()]
    found = nearest(space, archs)
    assert [space.decode(point) for point in found.tolist()] == archs


@pytest.mark.parametrize("space", SPACES[1:2], ids=lambda space: space.name)
def test_a_descent_comes_near_to_a_point_without_being_told(space: SearchSpace) -> None:
    """As points are described by what they do, it may end at another one that does nearly the same."""
    points = space.sample(4, np.random.default_rng(2))
    archs = [space.decode(point) for point in points.tolist()]
    found = NearestPoints(space).descended(archs)
    for arch, genes in zip(archs, found.tolist(), strict=True):
        assert 0.7 < space.decode(genes).macs / arch.macs < 1.4


def test_hand_made_networks_have_a_like_in_the_recommended_space() -> None:
    space, names = SPACES[1], ["mobilenetv2_100", "mobilenetv4_conv_small", "plain_conv4"]
    archs = [widened(fitted(zoo.published(name), 32, 10, 3), 0.5) for name in names]
    random = [space.decode(row).macs for row in space.sample(50, np.random.default_rng(0)).tolist()]
    points = nearest(space, archs)
    assert np.array_equal(points, nearest(space, archs))
    for name, arch, genes in zip(names, archs, points.tolist(), strict=True):
        is_like(name, arch, space.decode(genes), random)


def is_like(name: str, arch: Arch, found: Arch, random: list[int]) -> None:
    off = abs(np.log(found.macs / arch.macs))
    assert off < 0.5 and off < np.median(np.abs(np.log(np.array(random) / arch.macs)))
    is_dense = any(
        conv.taps > 1 and conv.groups == 1 for layer, shape in list(found.walk())[2:-1] for conv in layer.convs(shape)
    )
    assert is_dense == (name != "mobilenetv2_100")
