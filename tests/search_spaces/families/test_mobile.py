"""The mobile space: its range, networks that are points of it, what it refuses."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, DepthwiseSeparable, InvertedResidual, Layer
from search_spaces.costs import make_divisible
from search_spaces.families import fbnet, mnasnet, mobilenetv3, mobilenetv4, single_path
from search_spaces.families.mobile.forms import named, of_cards
from search_spaces.families.mobile.lists import WIDTHS
from search_spaces.families.mobile.space import mobile
from search_spaces.families.mobilenetv2.published import STAGES, mobilenetv2


def conv(channels: int, stride: int = 1) -> Layer:
    return ConvBNAct(channels, 3, stride)


def seven_convolutions() -> Arch:
    stages = ((conv(16, 2),), (conv(16),), (conv(48, 2), conv(48)), (conv(96, 2), conv(96)), (conv(160, 2),))
    return Arch(32, (*stages, (ConvBNAct(256), Classifier(10))))


def mixed() -> Arch:
    """Two dense stages, then inverted residuals."""

    def ir(channels: int, count: int) -> tuple[Layer, ...]:
        return tuple(InvertedResidual(channels, 5, 1 if i else 2, 4.0) for i in range(count))

    stages = ((conv(16, 2),), (conv(24),), (conv(48, 2),), ir(80, 2), ir(128, 3))
    return Arch(32, (*stages, (ConvBNAct(256), Classifier(10))))


def small_mobilenetv2(width: float, act: str = "relu6") -> Arch:
    """MobileNetV2 with total stride 16 and a stem of stride 2, for images of 32 pixels."""
    stages: list[tuple[Layer, ...]] = [(ConvBNAct(make_divisible(32 * width), 3, 2, act=act),)]
    for (expand, channels, repeats, _), stride in zip(STAGES, (1, 1, 2, 2, 1, 2, 1), strict=True):
        out = make_divisible(channels * width)
        blocks: list[Layer] = []
        for i in range(repeats):
            own = stride if i == 0 else 1
            if expand == 1:
                blocks.append(DepthwiseSeparable(out, 3, own, act))
            else:
                blocks.append(InvertedResidual(out, 3, own, expand, act=act))
        stages.append(tuple(blocks))
    return Arch(32, (*stages, (ConvBNAct(1280, act=act), Classifier(10))))


@pytest.mark.parametrize(
    ("arch", "lists"),
    [
        (seven_convolutions(), {}),
        (mixed(), {}),
        (small_mobilenetv2(0.35), {"acts": ("relu", "relu6")}),
        (small_mobilenetv2(0.5), {"acts": ("relu", "relu6")}),
    ],
    ids=["seven convolutions", "mixed", "MobileNetV2 x0.35", "MobileNetV2 x0.5"],
)
def test_networks_of_small_images_are_points(arch: Arch, lists: dict[str, Any]) -> None:
    space = mobile(32, 10, **lists)
    genotype = space.encode(arch)
    assert space.decode(genotype) == arch
    assert space.count("macs")(np.array([genotype])) == arch.macs
    assert space.count("params")(np.array([genotype])) == arch.params


def published_nets(width: float) -> Iterator[Arch]:
    """Nets of every family at `width`: all published forms, and random points of the searched families."""
    for depth in (1.0, 1.2, 1.4):
        for scale_ends in (True, False):
            yield mobilenetv2(width, depth, scale_ends=scale_ends)
    for size in mobilenetv3.SIZES:
        yield mobilenetv3.mobilenetv3(size, width, minimal=True)
    for form in mobilenetv3.PUBLISHED.values():
        if not form.tensorflow:
            yield mobilenetv3.FAMILY.build(dataclasses.replace(form, width=width), 1000, 224, 3)
    for design in mobilenetv4.DESIGNS:
        yield mobilenetv4.mobilenetv4(design, width, 224)
    for table in mnasnet.TABLES:
        yield mnasnet.mnasnet(table, width)
    for net in fbnet.PUBLISHED.values():
        if "g2" not in net.blocks:
            yield fbnet.FAMILY.build(dataclasses.replace(net, width=width), 1000, 224, 3)
    ungrouped = [name for name in fbnet.CANDIDATES if "g2" not in name]
    for space in (fbnet.fbnet(224, width=width, candidates=ungrouped), single_path.single_path(224, width=width)):
        for genotype in space.sample(2, np.random.default_rng(0)).tolist():
            yield space.decode(genotype)


@pytest.mark.parametrize("width", sorted({WIDTHS[0], 1.0, WIDTHS[-1]}))
def test_published_nets_are_points_at_every_width(width: float) -> None:
    space = mobile(choose="block", lists="published", widths=(width,))
    archs = list(published_nets(width))
    genotypes = [space.encode(arch) for arch in archs]
    assert [space.decode(genotype) for genotype in genotypes] == archs
    population = np.array(genotypes)
    assert space.count("params")(population).tolist() == [arch.params for arch in archs]
    assert space.count("macs")(population).tolist() == [arch.macs for arch in archs]


def test_nets_that_are_no_points_are_refused() -> None:
    space = mobile(choose="block", lists="published", widths=(1.0,))
    for arch in (fbnet.published("fbnet_a"), mobilenetv3.published("tf_mobilenetv3_small_100")):
        with pytest.raises(ValueError, match="is not in mobile: it fits no further than stage"):
            space.encode(arch)


@pytest.mark.parametrize(("resolution", "least", "most"), [(32, 0.5e6, 30e6), (224, 6e6, 600e6), (16, 0.05e6, 5e6)])
def test_sizes_that_are_reached(resolution: int, least: float, most: float) -> None:
    low, high = mobile(resolution, 10).count("macs").reachable()
    assert low < least and high > most


def test_empty_stages_are_none_of_the_arch() -> None:
    space = mobile(32, 10)
    depths = {v.name: i for i, v in enumerate(space.variables) if v.name.endswith(".depth")}
    genotype = [0] * len(space.variables)
    assert len(space.decode(genotype).stages) == 5  # stem, C, D, F, head
    for name in ("A.depth", "B.depth", "E.depth", "G.depth"):
        genotype[depths[name]] = 1
    arch = space.decode(genotype)
    assert len(arch.stages) == 9
    assert space.decode(space.encode(arch)) == arch


@pytest.mark.parametrize(
    ("resolution", "channels"), [(32, (16, 32, 64, 128, 128)), (32, (32, 64, 128, 256, 256)), (16, (8, 16, 24, 64, 64))]
)
def test_four_plain_convolutions_are_points(resolution: int, channels: tuple[int, ...]) -> None:
    """The best hand-made network of small images: a search that cannot reach it cannot beat it."""
    *convs, head = channels
    stages = [(ConvBNAct(c, 3, 2),) for c in convs]
    arch = Arch(resolution, (*stages, (ConvBNAct(head), Classifier(10))), 1)
    space = mobile(resolution, 10, 1, heads=[f"conv_{head}"])
    assert space.decode(space.encode(arch)) == arch


def test_a_stage_of_one_block_has_no_channels_but_its_own() -> None:
    """The channels of a first block matter from two blocks on."""
    space = mobile(choose="block", lists="published", widths=(1.0,))
    places = {variable.name: i for i, variable in enumerate(space.variables)}
    slots = [name.removesuffix(".first") for name in places if name.endswith(".first")]
    assert slots
    for slot in slots:
        depths = space.variables[places[f"{slot}.depth"]].choices
        for depth in (1, 2):
            genotype = [0] * len(space.variables)
            genotype[places[f"{slot}.depth"]] = depths.index(depth)
            other = list(genotype)
            other[places[f"{slot}.first"]] = len(space.variables[places[f"{slot}.first"]].choices) - 1
            assert (space.decode(other) == space.decode(genotype)) == (depth == 1), (slot, depth)


def test_everything_is_quick() -> None:
    """No enumeration of gene products in Python: fractions of a second on an idle machine."""
    space = mobile(32, 10, choose="block")
    started = time.process_time()
    space.fingerprint, len(list(space.table_entries()))
    space.count("macs").reachable()
    for genotype in space.sample(5, np.random.default_rng(0)).tolist():
        arch = space.decode(genotype)
        assert space.decode(space.encode(arch)) == arch
    assert time.process_time() - started < 10


def test_names_of_forms() -> None:
    assert named("ir_k5_e4_se").layer(40, 2, "relu") == of_cards(
        [
            {
                "kind": "inverted_residual",
                "kernel_size": 5,
                "expand_ratio": 4,
                "se": {"ratio": 0.25, "of": "expanded", "gate": "hard_sigmoid"},
            }
        ]
    )[0].layer(40, 2, "relu")
    assert named("conv_k3").layer(8, 2, "relu6") == ConvBNAct(8, 3, 2, act="relu6")
    assert [form.name for form in of_cards([{"kind": "conv_bn_act", "kernel_size": [3, 5]}])] == ["conv3x3", "conv5x5"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forms": ["dense_k3"]}, "unknown form 'dense_k3': it begins with one of conv"),
        ({"forms": ["conv_x3"]}, "form 'conv_x3': 'x3' means nothing"),
        ({"forms": ["conv_k4"]}, "form 'conv_k4': conv_bn_act: kernel_size must be odd"),
        ({"forms": ["conv_k3", {"kind": "conv_bn_act", "kernel_size": 3}]}, "is listed twice"),
        ({"forms": {"H": ["conv_k3"]}}, "forms has no stage 'H'"),
        ({"channels": {"H": [8]}}, "channels has no stage 'H'"),
        ({"channels": {"D": []}}, r"channels\.D must list different whole numbers"),
        ({"depths": {"D": [-1]}}, r"depths\.D must list different whole numbers >= 0"),
        ({"heads": ["conv"]}, "heads: 'conv' is none"),
        ({"acts": ["tanhh"]}, "acts: unknown activation 'tanhh'"),
        ({"choose": "layer"}, "choose must be one of stage, block"),
        ({"lists": "all"}, "lists must be one of recommended, published"),
        ({"widths": [0.5]}, "widths multiply published channels"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mobile(32, 10, **changes)
