"""The FBNetV3 space: its published size, its published nets, its small form."""

import math

import pytest

from search_spaces.families.fbnetv3.published import PUBLISHED, published
from search_spaces.families.fbnetv3.space import DEPTHS, RESOLUTIONS, TABLES, fbnetv3


def test_the_published_table_has_its_published_size() -> None:
    """7.9e19 with one kernel a stage; the space tells the first block's from the rest's in five stages."""
    table = TABLES["paper"].channels
    channels = math.prod(len(choices) for choices in table)
    kernels, expands = 2 ** (1 + 5 + 1), (4 * 4) ** 5
    depths = 4 * math.prod(len(choices) for choices in DEPTHS)
    one_kernel = len(RESOLUTIONS) * channels * kernels * expands * depths
    assert one_kernel == pytest.approx(7.88e19, rel=1e-3)
    assert fbnetv3(resolutions=RESOLUTIONS).size == one_kernel * 2**5


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_nets_are_points(name: str) -> None:
    space = fbnetv3(resolutions=RESOLUTIONS, channels="released")
    arch = published(name)
    assert space.decode(space.encode(arch)) == arch


@pytest.mark.parametrize(
    ("name", "stage"), [("fbnetv3_c", 3), ("fbnetv3_d", 6), ("fbnetv3_e", 6), ("fbnetv3_f", 2), ("fbnetv3_g", 0)]
)
def test_nets_outside_the_published_ranges_are_refused_there(name: str, stage: int) -> None:
    """C's 88 channels follow stage 3 explained in full; D and E end in 240 channels; F and G are scaled."""
    space = fbnetv3(resolutions=RESOLUTIONS)
    with pytest.raises(ValueError, match=f"fits no further than stage {stage},"):
        space.encode(published(name))
    for inside in ("fbnetv3_a", "fbnetv3_b"):
        assert space.decode(space.encode(published(inside))) == published(inside)


def test_another_resolution_is_another_arch() -> None:
    with pytest.raises(ValueError, match="fits no further than stage 0"):
        fbnetv3(resolution=232).encode(published("fbnetv3_a"))


def test_small_images_have_a_small_table_and_total_stride_8() -> None:
    space = fbnetv3(16, 10, in_channels=1)
    assert len(list(space.table_entries())) < 600
    arch = space.decode([0] * len(space.variables))
    *_, (_, before_pool), _ = arch.walk()
    assert (before_pool.height, before_pool.width) == (2, 2)
    assert all(layer.out_channels % 8 == 0 for layer in arch.layers[:-1])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"width": 0}, "width must be a finite number > 0, got 0"),
        ({"depth": -1}, "depth must be a finite number > 0"),
        ({"geometry": "large"}, "unknown FBNetV3 geometry 'large'"),
        ({"channels": "big"}, "unknown table of channels 'big'; one of paper, released"),
        ({"resolutions": []}, "resolutions must list"),
        ({"resolutions": [224, 224]}, "resolution needs a list of different choices"),
    ],
)
def test_bad_keys(keys: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fbnetv3(**keys)
