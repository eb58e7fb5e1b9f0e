"""Peak memory and bytes of weights against a brute force over the calls of the built network, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from search_spaces import zoo
from search_spaces.blocks import Layer
from search_spaces.memory.counted import Counted, amount
from search_spaces.memory.tape import IN_PLACE, InPlace, Tape, peak
from search_spaces.space import SearchSpace
from tests.networks.test_traced import SPACES
from tests.search_spaces.every_kind import every_kind
from tests.search_spaces.memory import traced

MADE = {**SPACES, "every_kind": lambda: every_kind(16)}
MODELS = [Counted(dtype, in_place) for dtype in ("fp32", "int8") for in_place in IN_PLACE]


def check(space: SearchSpace, count: int, seed: int) -> None:
    population = space.sample(count, np.random.default_rng(seed))
    priced = {counted: (space.memory_kib(counted), space.weights_kib(counted)) for counted in MODELS}
    costs = {counted: [cost(population) for cost in both] for counted, both in priced.items()}
    for i, genotype in enumerate(population):
        arch = space.decode(genotype)
        trace = traced.traced(arch)
        for counted in MODELS:
            memory, weights = traced.peak_kib(trace, counted), traced.weights_kib(trace, counted.dtype)
            assert arch.memory_kib(counted) == costs[counted][0][i] == memory, (arch.id, counted)
            assert arch.weights_kib(counted) == pytest.approx(weights, rel=1e-12)
            assert costs[counted][1][i] == pytest.approx(weights, rel=1e-12)


@pytest.mark.parametrize("space", MADE)
def test_memory_and_weights_are_those_of_the_calls(space: str) -> None:
    check(MADE[space](), 4, 0)


@pytest.mark.slow
@pytest.mark.parametrize("space", MADE)
def test_memory_and_weights_of_200_networks(space: str) -> None:
    check(MADE[space](), 200, 1)


@pytest.mark.parametrize("name", ["resnet8", "rexnet_100", "mobilenetv4_conv_small", "mobilenetv3_large_100"])
def test_published(name: str) -> None:
    arch = zoo.published(name)
    trace = traced.traced(arch)
    for counted in MODELS:
        assert arch.memory_kib(counted) == traced.peak_kib(trace, counted)
        assert arch.weights_kib(counted) == pytest.approx(traced.weights_kib(trace, counted.dtype), rel=1e-12)


def test_resnet8_by_hand_and_as_published() -> None:
    """Its peak: the second convolution of the first block, with the shortcut: three maps of 16 x 32 x 32 = 16 KiB.

    ST publishes 62.5 KiB of activations and 76.9 KiB of weights for it in 8 bits (their model zoo, STM32Cube.AI). The
    weights are these to the last digit. Of the activations 48 KiB are the tensors; the rest is working memory of that
    tool's kernels, which no graph shows.
    """
    arch, counted = zoo.published("resnet8"), Counted("int8")
    assert arch.memory_kib(counted) == 3 * 16 * 32 * 32 / 1024 == 48
    assert 0.7 < arch.memory_kib(counted) / 62.5 <= 1
    assert arch.weights_kib(counted) == (77_360 + 4 * 346) / 1024
    assert round(arch.weights_kib(counted), 1) == 76.9
    assert arch.memory_kib(Counted("fp32")) == 192 and arch.weights_kib(Counted("fp32")) == 4 * (77_360 + 346) / 1024


@pytest.mark.parametrize("in_place", IN_PLACE)
def test_what_a_kind_does_not_say_is_bounded(in_place: InPlace) -> None:
    """The answer of a kind that declares nothing is no smaller than its own, whatever the kind."""
    space = every_kind(16)
    steps = {step for run in space.walks for walk in run.values for step in walk}
    arch = zoo.published("rexnet_100")
    for layer, shape in (*steps, *arch.walk()):
        tape = Tape(shape)
        assert peak(tape, Layer.record(layer, tape, tape.input), in_place) >= layer.peak(shape, in_place), layer


def test_in_place_takes_no_more() -> None:
    for name in ("mobilenetv2_100", "mobilenetv3_large_100", "rexnet_100", "fbnetc_100"):
        none, element_wise, depthwise = (zoo.published(name).memory_kib(Counted("int8", how)) for how in IN_PLACE)
        assert none >= element_wise >= depthwise, name


def test_mobilenetv2_by_hand() -> None:
    """224 px: the 1x1 convolution that widens 16 channels of 112 x 112 to 96, and its depthwise one of stride 2."""
    arch = zoo.published("mobilenetv2_100")
    pixels = 112 * 112
    assert arch.memory_kib(Counted("int8")) == max((16 + 96) * pixels, 96 * pixels + 96 * 56 * 56) / 1024
    assert arch.memory_kib(Counted("int8", "depthwise")) == (16 + 96) * pixels / 1024


def test_unknown_ways_to_count_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be counted in dtype 'int4'; one of fp32, bf16, fp16, int8"):
        Counted("int4")
    with pytest.raises(ValueError, match="unknown in_place='all'; one of none, element_wise, depthwise"):
        Counted("int8", "all")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(14003.5, "14,004"), (1510.3, "1,510"), (76.8984, "76.9"), (48.0, "48"), (2_496_867, "2,496,867"), (0.5, "0.5")],
)
def test_amounts_are_shown_without_powers_of_ten(value: float, shown: str) -> None:
    assert amount(value) == shown
