"""The published mobile networks cost what timm's modules of their name cost, and scale as timm's do."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from functools import partial

import pytest
import timm.models.efficientnet as timm_efficientnet
import timm.models.mobilenetv3 as timm_mobilenetv3
import torch

from nas.networks import weights
from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.blocks import DepthwiseSeparable, InvertedResidual, PooledConv
from search_spaces.families import rows
from search_spaces.families.efficientnet.edge import efficientnet_edge
from search_spaces.families.efficientnet.published import efficientnet
from search_spaces.families.efficientnet.v2 import efficientnetv2
from search_spaces.families.fbnet import fbnet
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.families.lcnet import lcnet
from search_spaces.families.mnasnet import mnasnet
from search_spaces.families.mobilenetv2.published import mobilenetv2
from search_spaces.families.mobilenetv2.space import mobilenetv2 as mobilenetv2_space
from search_spaces.families.mobilenetv3 import mobilenetv3
from search_spaces.families.mobilenetv4 import mobilenetv4
from search_spaces.families.rexnet.published import rexnet
from search_spaces.families.rexnet.space import rexnet as rexnet_space
from search_spaces.families.single_path import single_path
from search_spaces.families.tinynet import tinynet

# Image size; parameters, multiply-adds and outputs of convolutions and linear layers, counted on timm 1.0.31's modules.
COUNTED = {
    "mnasnet_small": (224, 2_030_264, 68_339_184, 2_157_640),
    "mnasnet_050": (224, 2_218_512, 104_455_968, 3_066_440),
    "mnasnet_075": (224, 3_170_208, 215_493_104, 4_766_152),
    "mnasnet_100": (224, 4_383_312, 314_415_872, 5_457_640),
    "mnasnet_140": (224, 7_115_728, 588_799_408, 7_711_640),
    "semnasnet_050": (224, 2_082_006, 103_162_992, 3_438_646),
    "semnasnet_075": (224, 2_912_278, 223_448_480, 5_539_718),
    "semnasnet_100": (224, 3_887_038, 311_579_072, 6_227_062),
    "semnasnet_140": (224, 6_105_992, 586_317_952, 8_867_736),
    "hardcorenas_a": (224, 5_260_232, 224_227_936, 4_380_456),
    "hardcorenas_b": (224, 5_176_544, 251_832_064, 5_091_968),
    "hardcorenas_c": (224, 5_521_224, 270_058_400, 5_013_200),
    "hardcorenas_d": (224, 7_500_208, 287_787_616, 4_926_648),
    "hardcorenas_e": (224, 8_070_992, 338_689_760, 5_648_800),
    "hardcorenas_f": (224, 8_199_688, 341_905_696, 5_570_864),
    "mobilenetv3_small_050": (224, 1_593_224, 24_188_688, 917_736),
    "mobilenetv3_small_075": (224, 2_041_872, 43_399_344, 1_302_224),
    "mobilenetv3_small_100": (224, 2_542_856, 56_510_400, 1_417_680),
    "mobilenetv3_large_075": (224, 3_993_528, 154_560_624, 4_001_888),
    "mobilenetv3_large_100": (224, 5_483_032, 216_589_760, 4_407_168),
    "mobilenetv3_large_150d": (256, 14_622_320, 1_010_021_120, 12_353_472),
    "tf_mobilenetv3_small_075": (224, 2_041_872, 43_399_344, 1_302_224),
    "tf_mobilenetv3_small_100": (224, 2_542_856, 56_510_400, 1_417_680),
    "tf_mobilenetv3_small_minimal_100": (224, 2_044_736, 52_288_448, 1_414_792),
    "tf_mobilenetv3_large_075": (224, 3_993_528, 154_560_624, 4_001_888),
    "tf_mobilenetv3_large_100": (224, 5_483_032, 216_589_760, 4_407_168),
    "tf_mobilenetv3_large_minimal_100": (224, 3_924_288, 209_136_704, 4_402_088),
    "mobilenetv4_conv_small_035": (224, 1_905_384, 47_723_040, 982_280),
    "mobilenetv4_conv_small_050": (224, 2_238_952, 64_741_408, 1_184_552),
    "mobilenetv4_conv_small": (224, 3_774_024, 186_005_568, 1_965_416),
    "mobilenetv4_conv_medium": (256, 9_715_512, 1_080_244_224, 7_579_880),
    "mobilenetv4_conv_large": (384, 32_590_864, 6_376_220_672, 27_309_288),
    "efficientnet_es": (224, 5_438_392, 1_788_731_008, 8_725_352),
    "efficientnet_em": (240, 6_899_496, 3_013_321_088, 14_342_328),
    "efficientnet_el": (300, 10_589_712, 7_936_082_848, 30_696_656),
    "efficientnetv2_rw_t": (224, 13_649_388, 1_912_879_840, 9_942_628),
    "efficientnet_b0": (224, 5_288_548, 385_814_752, 6_748_036),
    "efficientnet_b1": (240, 7_794_184, 686_802_832, 10_884_328),
    "efficientnet_b2": (256, 9_109_994, 859_853_760, 12_806_170),
    "efficientnet_b3": (288, 12_233_232, 1_589_198_096, 21_488_024),
    "efficientnet_b4": (320, 19_341_616, 3_063_687_008, 34_756_440),
    "efficientnet_lite0": (224, 4_652_008, 385_187_552, 6_738_696),
    "efficientnet_lite1": (240, 5_416_680, 600_185_232, 10_143_128),
    "efficientnet_lite2": (260, 6_092_072, 859_736_272, 12_895_600),
    "efficientnet_lite3": (300, 8_197_096, 1_607_554_544, 21_846_416),
    "efficientnet_lite4": (380, 13_006_568, 3_943_564_112, 45_659_608),
    "tinynet_a": (192, 6_187_972, 336_867_712, 5_412_164),
    "tinynet_b": (188, 3_730_562, 200_709_360, 4_435_938),
    "tinynet_c": (184, 2_457_234, 99_536_432, 2_866_322),
    "tinynet_d": (152, 2_338_446, 51_580_656, 1_417_854),
    "tinynet_e": (106, 2_042_972, 24_356_848, 690_452),
    "lcnet_035": (224, 1_644_370, 27_357_832, 1_041_018),
    "lcnet_050": (224, 1_880_856, 44_731_008, 1_263_432),
    "lcnet_075": (224, 2_358_288, 94_786_496, 1_994_360),
    "lcnet_100": (224, 2_953_800, 155_700_480, 2_524_584),
    "lcnet_150": (224, 4_501_112, 334_188_416, 3_785_736),
}


@pytest.mark.parametrize("name", COUNTED)
def test_costs_are_those_of_timms_modules(name: str) -> None:
    arch = zoo.published(name)
    assert (arch.resolution, *arch.cost) == COUNTED[name]


def test_every_member_of_these_families_is_counted() -> None:
    families = {zoo.FAMILY_OF[name] for name in COUNTED}
    assert {name for name, family in zoo.FAMILY_OF.items() if family in families} == set(COUNTED)


# Ours, and timm's function and name of the network: of a width, and of a width and a depth.
Scaled = tuple[Callable[..., Arch], Callable[..., torch.nn.Module], str]
WIDENED: dict[str, Scaled] = {
    "small": (partial(mobilenetv3, "small"), timm_mobilenetv3._gen_mobilenet_v3, "mobilenetv3_small_100"),
    "large": (partial(mobilenetv3, "large"), timm_mobilenetv3._gen_mobilenet_v3, "mobilenetv3_large_100"),
    "large minimal": (
        partial(mobilenetv3, "large", minimal=True),
        timm_mobilenetv3._gen_mobilenet_v3,
        "tf_mobilenetv3_large_minimal_100",
    ),
    "mnasnet a1": (partial(mnasnet, "a1"), timm_efficientnet._gen_mnasnet_a1, "semnasnet_100"),
    "mnasnet b1": (partial(mnasnet, "b1"), timm_efficientnet._gen_mnasnet_b1, "mnasnet_100"),
    "mnasnet small": (partial(mnasnet, "small"), timm_efficientnet._gen_mnasnet_small, "mnasnet_small"),
    **{
        design: (partial(mobilenetv4, design), timm_mobilenetv3._gen_mobilenet_v4, f"mobilenetv4_{design}")
        for design in ("conv_small", "conv_medium", "conv_large")
    },
    "lcnet": (lcnet, timm_mobilenetv3._gen_lcnet, "lcnet_100"),
}
SCALED: dict[str, Scaled] = {
    "efficientnet": (efficientnet, timm_efficientnet._gen_efficientnet, "efficientnet_b0"),
    "efficientnet lite": (
        partial(efficientnet, lite=True),
        timm_efficientnet._gen_efficientnet_lite,
        "efficientnet_lite0",
    ),
    "efficientnet edge": (efficientnet_edge, timm_efficientnet._gen_efficientnet_edge, "efficientnet_es"),
    "efficientnetv2": (efficientnetv2, timm_efficientnet._gen_efficientnetv2_s, "efficientnetv2_s"),
    "tinynet": (tinynet, timm_efficientnet._gen_tinynet, "tinynet_a"),
}


@pytest.mark.parametrize("form", [*WIDENED, *SCALED])
def test_any_width_and_depth_has_the_weights_of_timms_net(form: str) -> None:
    ours, theirs, name = (WIDENED | SCALED)[form]
    draw = random.Random(form)
    factors = (draw.uniform(0.2, 2.5), draw.uniform(0.4, 1.8))[: 2 if form in SCALED else 1]
    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in theirs(name, *factors).state_dict().items()}
    assert weights.shapes_of(ours(*factors)) == expected, factors


def test_repeats_of_a_stage_at_hand_computed_points() -> None:
    """Four blocks at depth 1.2 are ceil(4.8) = 5: the last row takes round(2.5) = 2, the next round(1.5) = 2 of 3."""
    assert rows.scaled_repeats([1, 1, 2], 1.2) == [1, 2, 2]
    assert rows.scaled_repeats([4], 0.6, round) == [2]
    assert rows.scaled_repeats([1, 2], 0.1) == [1, 1]
    draw = random.Random(0)
    for _ in range(100):
        repeats, depth = [draw.randint(1, 5) for _ in range(draw.randint(1, 4))], draw.uniform(1, 3)
        assert rows.scaled_repeats(repeats, 1.0) == repeats
        assert sum(rows.scaled_repeats(repeats, depth)) == math.ceil(sum(repeats) * depth)


def test_what_the_minimal_nets_leave_out() -> None:
    blocks = [
        x for x in mobilenetv3("small", minimal=True).layers if isinstance(x, DepthwiseSeparable | InvertedResidual)
    ]
    assert {(block.kernel_size, block.act, block.se) for block in blocks} == {(3, "relu", None)}
    assert mobilenetv3("small", 0.1).layers[0].out_channels == 16
    head = mobilenetv3("small", 3.0).layers[-2]
    assert isinstance(head, PooledConv) and head.out_channels == 1024


def test_bad_multipliers_and_forms() -> None:
    for make, words in (
        (lambda: mobilenetv3("medium"), "unknown MobileNetV3 size 'medium'; one of small, large"),
        (lambda: mobilenetv3("small", 0), "width must be a finite number > 0, got 0"),
        (lambda: mnasnet("c1"), "unknown MnasNet form 'c1'; one of a1, b1, small"),
        (lambda: mnasnet(width=-1.0), "width must be a finite number > 0, got -1.0"),
        (lambda: efficientnet(depth=0), "depth must be a finite number > 0, got 0"),
        (lambda: tinynet(depth=math.nan), "depth must be a finite number > 0, got nan"),
        (
            lambda: mobilenetv4("conv_tiny"),
            "unknown MobileNetV4 design 'conv_tiny'; one of conv_small, conv_medium, co",
        ),
        (lambda: mobilenetv4(width=0), "width must be a finite number > 0, got 0"),
        (lambda: efficientnet_edge(depth=-1), "depth must be a finite number > 0, got -1"),
        (lambda: efficientnetv2(math.nan), "width must be a finite number > 0, got nan"),
        (lambda: lcnet(math.inf), "width must be a finite number > 0, got inf"),
        (lambda: mobilenetv2(math.inf), "width must be a finite number > 0, got inf"),
        (lambda: rexnet(depth=math.inf), "depth must be a finite number > 0, got inf"),
        (lambda: fbnet(width=math.inf), "width must be a finite number > 0, got inf"),
        (lambda: fbnetv3(depth=math.inf), "depth must be a finite number > 0, got inf"),
        (lambda: single_path(width=math.inf), "width must be a finite number > 0, got inf"),
        (lambda: mobilenetv2_space(widths=[1.0, math.inf]), "widths must list different finite numbers > 0, got [1.0"),
        (lambda: rexnet_space(widths=[math.inf]), "widths must list different finite numbers > 0, got [inf]"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            make()
