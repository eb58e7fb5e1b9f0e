"""The ReXNet space: its published nets, its forms of channels, what it refuses."""

import numpy as np
import pytest

from search_spaces.arch import Arch
from search_spaces.blocks import LinearBottleneck
from search_spaces.families.rexnet.channels import rounded
from search_spaces.families.rexnet.published import PUBLISHED, published, rexnet
from search_spaces.families.rexnet.space import rexnet as space_of


def channels(arch: Arch) -> list[int]:
    return [layer.out_channels for layer in arch.layers if isinstance(layer, LinearBottleneck)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_nets_are_points(name: str) -> None:
    space = space_of(divisor=PUBLISHED[name].divisor)
    assert space.decode(space.encode(published(name))) == published(name)


@pytest.mark.parametrize("width", [0.9, 1.0, 2.2])
@pytest.mark.parametrize("depth", [1.0, 2.0])
def test_depth_is_a_variable(width: float, depth: float) -> None:
    space = space_of(depths=(1.0, 2.0))
    arch = rexnet(width, depth)
    assert space.decode(space.encode(arch)) == arch


def test_straight_lines_are_points_of_the_piecewise_space() -> None:
    space = space_of(channels="piecewise", widths=(1.0, 1.3, 1.5), bends=(1 / 1.3, 1.0, 1.5 / 1.3))
    for name in ("rexnet_100", "rexnet_130", "rexnet_150"):
        assert space.decode(space.encode(published(name))) == published(name)


def test_a_bent_line_at_hand_computed_points() -> None:
    """Knots at blocks 0, 5, 10, 15; the line is 16 to 184.75, 72.25 at block 5; bent there by 0.8: 57.8."""
    space = space_of(channels="piecewise", widths=(1.0,), bends=(0.8, 1.0))
    found = channels(space.decode((1, 0, 1, 1)))
    assert (found[0], found[5], found[15]) == (16, 58, 185)
    assert found[1] == round(16 + (57.8 - 16) / 5) == 24
    assert found[7] == round(57.8 + 2 / 5 * (128.5 - 57.8)) == 86


def test_free_channels_hold_published_ones() -> None:
    grid = sorted(set(channels(published("rexnet_100"))))
    for form in ("free", "monotone"):
        space = space_of(channels=form, grid=grid)
        assert space.decode(space.encode(published("rexnet_100"))) == published("rexnet_100")


def test_monotone_channels_never_fall_and_falling_ones_are_refused() -> None:
    space = space_of(16, 10, 1, channels="monotone", divisor=8)
    free = space_of(16, 10, 1, channels="free", divisor=8)
    rng = np.random.default_rng(0)
    fell = 0
    for genotype in free.sample(20, rng):
        arch = space.decode(genotype)
        assert channels(arch) == sorted(channels(free.decode(genotype)))
        if channels(free.decode(genotype)) != channels(arch):
            fell += 1
            with pytest.raises(ValueError, match="is not in rexnet"):
                space.encode(free.decode(genotype))
    assert fell == 20


def test_cheapest_and_most_expensive_monotone_nets_are_exact() -> None:
    """Against all sorted genotypes: C(18, 2) = 153."""
    space = space_of(16, 10, 1, channels="monotone", grid=(8, 16, 32), widths=(0.25,))
    cost = space.cost(lambda layer, shape: layer.cost(shape).macs - 3e3 * layer.cost(shape).params)
    rows = [[0] * a + [1] * (b - a) + [2] * (16 - b) for a in range(17) for b in range(a, 17)]
    every = cost(np.array(rows))
    assert len(rows) == 153
    assert cost.reachable() == (every.min(), every.max())


def test_squeezes_and_activations_are_variables() -> None:
    space = space_of(16, 10, 1, squeezes=("none", "all"), acts=("rexnet", "relu6"), widths=(0.25,), firsts=(16,))
    assert [variable.name for variable in space.variables] == ["squeeze", "act"]
    plain, excited = space.decode((0, 1)), space.decode((1, 0))
    for arch, has_se, acts in ((plain, False, ("relu6", "relu6")), (excited, True, ("silu", "relu6"))):
        blocks = [layer for layer in arch.layers if isinstance(layer, LinearBottleneck)]
        assert all((block.se is not None) == has_se for block in blocks)
        assert all((block.act, block.dw_act) == acts for block in blocks)


def test_rounding_is_to_even_at_a_half_whatever_the_sum_missed_it_by() -> None:
    assert [rounded(value, 1) for value in (38.5, 83.5, 38.5 + 1e-12, 38.5 - 1e-12, 0.2)] == [38, 84, 38, 38, 1]
    assert rounded(38.5, 8) == 40


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"channels": "cubic"}, "channels must name some of linear, piecewise, free, monotone, got cubic"),
        ({"squeezes": ["some"]}, "squeezes must name some of none, late, all, got some"),
        ({"acts": []}, "acts must name some of .* got nothing"),
        ({"channels": "free", "depths": [1, 2]}, "free channels need one depth"),
        ({"channels": "piecewise", "knots": 99}, "knots must lie between 2 and the number of blocks, 16; got 99"),
        ({"channels": "free", "grid": [16, 8]}, "grid must list rising numbers of channels"),
        ({"widths": [-1]}, "widths must list different finite numbers > 0"),
        ({"divisor": 0}, "divisor must be a finite number > 0"),
        ({"geometry": "big"}, "unknown ReXNet geometry 'big'"),
    ],
)
def test_bad_keys(keys: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        space_of(**keys)
