"""The FBNet space against its published figures."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from search_spaces.arch import Arch
from search_spaces.families import fbnet

DATA = Path(__file__).parents[2] / "fixtures"

# MACs and convolution + linear weights (no batch norm, no bias), as published with the released models;
# the PyTorch forms' published MACs include pooling additions, given here as the last number.
RELEASED = {
    "fbnet_a": (249_921_848, 4_286_480, 0),
    "fbnet_b": (295_561_032, 4_777_296, 0),
    "fbnet_c": (382_984_480, 5_520_784, 0),
    "fbnet_a_pytorch": (244_526_360, 4_270_288, 73_696),
    "fbnet_b_pytorch": (291_101_640, 4_766_672, 97_216),
    "fbnet_c_pytorch": (378_233_440, 5_525_424, 97_216),
}


def weights(arch: Arch) -> int:
    return sum(conv.weights for layer, shape in arch.walk() for conv in layer.convs(shape))


@pytest.mark.parametrize("name", RELEASED)
def test_released_forms_have_their_published_figures(name: str) -> None:
    macs, published_weights, pooling = RELEASED[name]
    arch = fbnet.published(name)
    assert arch.macs + pooling == macs
    assert weights(arch) == published_weights


def test_fbnetc_100_equals_timms() -> None:
    cost = fbnet.published("fbnetc_100").cost
    assert cost == (5_572_200, 384_960_160, 6_512_904)


@pytest.mark.parametrize(
    ("name", "macs_m", "params_m"), [("fbnet_b1", 286.8, 4.1), ("fbnet_c1", 374.2, 4.9), ("fbnet_96_035_1", 12.9, 1.8)]
)
def test_forms_published_to_one_decimal(name: str, macs_m: float, params_m: float) -> None:
    arch = fbnet.published(name)
    assert round(arch.macs / 1e6, 1) == macs_m
    assert abs(arch.params / 1e6 - params_m) < 0.1


def test_width_035_has_the_published_widths() -> None:
    arch = fbnet.published("fbnet_96_035_1")
    channels = [stage[0].out_channels for stage in arch.stages[:-1]]
    assert channels == [8, 8, 16, 16, 24, 40, 72, 128]


def test_bounds_of_the_space() -> None:
    space = fbnet.fbnet()
    assert space.size == 9**22
    assert len(space.positions) == 22
    macs = space.count("macs")
    params = space.count("params")
    cheapest = np.full((1, 22), fbnet.CANDIDATES.index("k3_e1_g2"))
    dearest = np.full((1, 22), fbnet.CANDIDATES.index("k5_e6"))
    assert macs(cheapest)[0] == 83_302_832
    assert macs(dearest)[0] == 572_634_080
    assert params(cheapest)[0] == 2_944_504
    assert params(dearest)[0] == 5_754_072
    assert sum(row[:8].sum() for row in macs.rows) == pytest.approx(1747.6e6, abs=0.05e6)
    assert sum(row[:8].sum() for row in params.rows) == pytest.approx(10.5e6, abs=0.05e6)


def test_skip_switch_leaves_eight_candidates_at_shape_changes() -> None:
    space = fbnet.fbnet(skip_at_shape_change=False)
    sizes = [len(position.candidates) for position in space.positions]
    assert sizes.count(8) == 6
    assert space.size == 9**16 * 8**6


def test_published_networks_are_points_of_the_space() -> None:
    for name in ("fbnetc_100", "fbnet_b_paper", "fbnet_s8", "fbnet_iphonex"):
        arch = fbnet.published(name)
        space = fbnet.fbnet()
        assert space.decode(space.encode(arch)) == arch
    space = fbnet.fbnet(head_channels=1504)
    assert space.decode(space.encode(fbnet.published("fbnet_a"))) == fbnet.published("fbnet_a")
    space = fbnet.fbnet(96, width=0.35, head_channels=1416)
    arch = fbnet.published("fbnet_96_035_1")
    assert space.decode(space.encode(arch)) == arch


def test_small_geometry_keeps_the_resolution_longer() -> None:
    space = fbnet.fbnet(32, 100, head_channels=1504)
    assert [position.shape.height for position in space.positions] == [32] * 6 + [16] * 4 + [8] * 8 + [4] * 4


def test_unknown_names_list_the_options() -> None:
    with pytest.raises(ValueError, match="unknown FBNet 'fbnet_z'; one of fbnetc_100"):
        fbnet.published("fbnet_z")
    with pytest.raises(ValueError, match="unknown FBNet candidate 'k7_e1'; one of k3_e1"):
        fbnet.fbnet(candidates=["k7_e1"])
    with pytest.raises(ValueError, match="unknown FBNet geometry 'big'"):
        fbnet.fbnet(geometry="big")


def test_parameters_of_5000_networks_equal_published_counts() -> None:
    """The counts published with NASFLAT for HELP's 5,000 networks (CIFAR-100 geometry), compared by their digest."""
    archs = np.load(DATA / "help-fbnet" / "fbnet_latency.npz")["archs"].astype(np.int64)
    space = fbnet.fbnet(32, 100, head_channels=1504)
    params = space.count("params")(archs).astype("<i8")
    assert (params.min(), params.max(), params.sum()) == (976_596, 3_290_492, 9_273_140_888)
    digest = hashlib.sha256(params.tobytes()).hexdigest()
    assert digest == "908a24b9038ceb789f35523221e22cb62f5e746ef7ee6e41f59ac9489f681801"
