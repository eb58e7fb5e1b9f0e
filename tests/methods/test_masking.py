"""Width search: masked networks are their slices, and what cannot be masked is refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from nas.methods.supernets.channel_masks import MaskedNetwork
from nas.methods.supernets.masked_plan import check_widths_alone, masked_plan
from search_spaces.blocks import ConvBNAct, InvertedResidual
from search_spaces.choices import Chain, combine, constant
from search_spaces.families.mobilenetv2.space import mobilenetv2
from search_spaces.families.rexnet.space import rexnet
from search_spaces.from_card import from_card
from search_spaces.space import SearchSpace
from tests.methods.masked_networks import check_one_hot, stirred


def from_stages(*stages: dict, **block: object) -> SearchSpace:
    made = [{"channels": [8, 16, 24], "depth": 2, **stage, "blocks": [block]} for stage in stages]
    return from_card(made, {"out_channels": 8, "kernel_size": 3}, {"out_channels": 16}, "yaml", 8, 10, 1)


SPACES = {
    "mobilenetv2": lambda: mobilenetv2(16, 10, 1, kernels=(3,), expansions=(6,), depths=(1,)),
    "rexnet linear": lambda: rexnet(16, 10, 1, widths=(0.1, 0.3)),
    "rexnet piecewise": lambda: rexnet(16, 10, 1, channels="piecewise", widths=(0.2, 0.3)),
    "rexnet free": lambda: rexnet(16, 10, 1, channels="free", grid=(8, 12, 20), divisor=4, widths=(0.2,)),
    "rexnet, all squeeze": lambda: rexnet(16, 10, 1, widths=(0.1, 0.3), squeezes=("all",), acts=("silu",)),
    "squeezing inverted residuals": lambda: from_stages({}, {"stride": 2}, {}, kind="inverted_residual", se=0.25),
    "separable": lambda: from_stages({}, {"stride": 2}, kind="depthwise_separable", se=0.5),
    "universal bottlenecks": lambda: from_stages(
        {}, {"stride": 2}, kind="universal_bottleneck", start_kernel=3, se=0.25, layer_scale=0.5
    ),
    "strided start": lambda: from_stages(
        {}, {"stride": 2}, kind="universal_bottleneck", start_kernel=5, middle_kernel=0
    ),
    "fused": lambda: from_stages({}, {"stride": 2}, kind="fused_bottleneck", se=0.25),
    "residual": lambda: from_stages({"stride": 2}, {"stride": 2}, kind="residual_block"),
    "residual, biased": lambda: from_stages({"stride": 2}, kind="residual_block", projection="bias"),
    "added convolutions": lambda: from_stages({}, kind="conv_bn_act", residual=True, act="silu"),
    "plain convolutions": lambda: from_stages({}, {"stride": 2}, kind="conv_bn_act", kernel_size=3),
}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("training", [False, True])
def test_one_hot_masks_are_slices(name: str, training: bool, double: None) -> None:
    space = SPACES[name]()
    masked = MaskedNetwork(space)
    stirred(masked)
    images = torch.randn(4, 1, space.decode([0] * len(space.variables)).resolution, 16)
    ends = [[0] * len(space.variables), [len(v) - 1 for v in space.variables]]
    check_one_hot(masked, [*ends, *space.sample(3, np.random.default_rng(0)).tolist()], images, training)


def test_a_mixture_is_what_the_paper_says() -> None:
    """A linear output under masks: weights 0.8 of width 16 and 0.2 of width 12 scale channels 12 to 15 by 0.8."""
    chain = Chain("tiny", (4,), 1)
    stem = chain.choice("width", (12, 16))
    chain.layer(combine(lambda c: ConvBNAct(c, act=""), stem), stem)
    chain.next_stage()
    chain.layer(constant(InvertedResidual(8, residual=False)), constant(8))
    chain.next_stage()
    chain.layer(constant(ConvBNAct(8)), constant(8))
    masked = MaskedNetwork(chain.space(10)).eval()
    mask = masked.plan.stem.candidates[0].out.mask([torch.tensor([0.2, 0.8])])
    assert mask is not None
    torch.testing.assert_close(mask, torch.tensor([1.0] * 12 + [0.8] * 4))
    assert mask.sum() == pytest.approx(15.2)  # the paper's effective width


def test_gradients_reach_the_choices_and_the_weights() -> None:
    space = SPACES["mobilenetv2"]()
    masked = MaskedNetwork(space)
    theta = [torch.zeros(len(variable), requires_grad=True) for variable in space.variables]
    loss = masked(torch.randn(8, 1, 16, 16), [row.softmax(0) for row in theta]).square().sum()
    loss.backward()
    assert all(row.grad is not None and row.grad.abs().sum() > 0 for row in theta)
    assert all(parameter.grad is not None for parameter in masked.parameters())


def test_a_copy_computes_the_same() -> None:
    masked = MaskedNetwork(SPACES["rexnet free"]()).eval()
    weights = masked.one_hot((0,) * len(masked.space.variables))
    x = torch.randn(2, *masked.plan.widest.input_shape)
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(masked)(x, weights), masked(x, weights))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: mobilenetv2(16, 10, 1, kernels=(3,), expansions=(6,)), "has choices of depth"),
        (lambda: mobilenetv2(16, 10, 1, depths=(1,)), r"more than channels is searched \(.*kernel"),
        (lambda: rexnet(16, 10, 1, channels="monotone"), "monotone channels are no independent choices"),
        (lambda: rexnet(resolutions=(192, 224)), "gets maps of 192x192 and 224x224 pixels"),
        (lambda: from_stages({"channels": [8, 16]}, kind="inverted_residual", groups=2), "grouped convolutions"),
        (lambda: mobilenetv2(16, 10, 1, widths=(0.5,), depths=(1,), kernels=(3,), expansions=(6,)), "no choices of ch"),
        (
            lambda: from_stages({"channels": [8, 64]}, kind="inverted_residual", expand_ratio=1.1, expand_at_1=False),
            "some widths have an expansion or a projected shortcut and others none",
        ),
        (lambda: from_stages({}, kind="residual_block"), "some widths have an expansion or a projected shortcut"),
    ],
)
def test_what_cannot_be_masked_is_refused(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        space = make()
        check_widths_alone(space, masked_plan(space))
