"""The MobileNetV2 spaces: their published nets, their layer-wise form, what they refuse."""

import pytest

from search_spaces.families.mobilenetv2.published import PUBLISHED, mobilenetv2, published
from search_spaces.families.mobilenetv2.space import DEPTHS, WIDTHS, mobilenetv2_layerwise
from search_spaces.families.mobilenetv2.space import mobilenetv2 as space_of

RESOLUTIONS = (96, 128, 160, 192, 224)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_nets_are_points(name: str) -> None:
    space = space_of()
    assert space.decode(space.encode(published(name))) == published(name)
    with_resolutions = space_of(resolutions=RESOLUTIONS)
    smaller = published(name, resolution=128)
    assert with_resolutions.decode(with_resolutions.encode(smaller)) == smaller


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_every_pair_of_multipliers_is_a_point(width: float, depth: float) -> None:
    """Of nets whose last stage is one block: depth-scaled ends are not in the table of the paper."""
    space = space_of()
    arch = mobilenetv2(width, depth, scale_ends=False)
    assert space.decode(space.encode(arch)) == arch


def test_nets_outside_are_refused() -> None:
    with pytest.raises(ValueError, match="fits no further than stage 0"):
        space_of().encode(mobilenetv2(2.0))


@pytest.mark.parametrize("name", ["mobilenetv2_050", "mobilenetv2_100", "mobilenetv2_140"])
def test_published_nets_are_points_of_the_layerwise_space(name: str) -> None:
    space = mobilenetv2_layerwise(width=PUBLISHED[name].width)
    assert space.decode(space.encode(published(name))) == published(name)
    assert space.size == 6**6 * 7**10  # 16 blocks; ten of them can be left out


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"widths": []}, "widths must list different finite numbers > 0, got"),
        ({"widths": [1, 1.0]}, "widths must list different finite numbers"),
        ({"depths": [0]}, "depths must list different finite numbers > 0"),
        ({"kernels": [2]}, "kernel_size must be odd"),
        ({"geometry": "big"}, "unknown MobileNetV2 geometry 'big'"),
        ({"resolutions": []}, "resolutions must list"),
    ],
)
def test_bad_keys(keys: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        space_of(**keys).decode([0] * len(space_of(**keys).variables))
