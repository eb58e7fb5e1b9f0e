"""Blocks, widths and depths in one masked network: one-hot weights are networks, mixtures and prices are by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from nas.methods.supernets.channel_masks import MaskedNetwork
from nas.methods.supernets.masked_plan import masked_plan
from nas.methods.supernets.paths import draw_path, initial_theta
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, PooledConv, Skip
from search_spaces.choices import Chain, combine, repeated
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.families.mobile.space import mobile
from search_spaces.families.mobilenetv2.space import mobilenetv2
from search_spaces.families.rexnet.space import rexnet
from search_spaces.space import SearchSpace
from tests.methods.masked_networks import CONV, MBCONV, card, check_one_hot, mixed, stirred


def optional_stages() -> SearchSpace:
    """A stage of depth 0 or more between others, and a block that may be a skip, as a chain in Python."""
    chain = Chain("optional", (8,), 1)
    width = chain.choice("stem", (8, 16))
    chain.layer(combine(lambda c: ConvBNAct(c, 3), width), width)
    chain.next_stage()
    which = chain.choice("block", ("conv", "mbconv", "skip"))
    made = {"conv": ConvBNAct, "mbconv": InvertedResidual, "skip": Skip}
    chain.layer(combine(lambda c, name: made[name](c), width, which))
    chain.next_stage()
    depth = chain.choice("depth", (0, 1, 2))
    chain.run(combine(lambda c, n: repeated(InvertedResidual(c, expand_ratio=2), n), width, depth))
    chain.next_stage()
    out = chain.choice("out", (16, 24))
    chain.layer(combine(lambda c: InvertedResidual(c, stride=2), out), out, 2)
    chain.next_stage()
    heads = (
        ConvBNAct(16),
        ConvBNAct(24),
        PooledConv(24, bias=True),
        PooledConv(16, norm=True),
        PooledConv(24, norm=True),
    )
    head = chain.choice("head", heads)
    chain.run(combine(lambda layer: (layer, Classifier(10)), head))
    return chain.closed()


def every_kind() -> SearchSpace:
    """Kinds side by side, one of which ends behind its shortcut."""
    kinds = [
        {"kind": "residual_block", "act": "silu"},
        {"kind": "universal_bottleneck", "start_kernel": [0, 3], "expand_ratio": [2, 3]},
        {"kind": "fused_bottleneck", "expand_ratio": [2, 4]},
        {"kind": "depthwise_separable"},
        {**CONV, "residual": True},
    ]
    return card({"channels": [8, 16], "depth": [1, 2, 3], "stride": 2, "blocks": kinds})


SPACES: dict[str, Callable[[], SearchSpace]] = {
    "card": mixed,
    "every kind": every_kind,
    "optional stages": optional_stages,
    "mobile": lambda: mobile(8, 10, 1, stem_strides=(1,), heads=("conv_32", "conv_64", "pooled_64")),
    "mobilenetv2": lambda: mobilenetv2(8, 10, 1, (0.25, 0.375), head_channels=32),
    "fbnetv3": lambda: fbnetv3(8, 10, 1, width=0.25, depth=0.4, head_channels=32),
    "rexnet": lambda: rexnet(
        8,
        10,
        1,
        widths=(0.05, 0.1),
        firsts=(8, 16),
        depths=(1, 1.2),
        squeezes=("late", "none"),
        acts=("rexnet", "silu"),
    ),
}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("training", [False, True])
def test_one_hot_weights_are_the_network_alone(name: str, training: bool, double: None) -> None:
    space = SPACES[name]()
    masked = MaskedNetwork(space)
    stirred(masked)
    largest = [len(v) - 1 for v in space.variables]
    genotypes = [largest, *space.sample(3, np.random.default_rng(0)).tolist()]
    check_one_hot(masked, genotypes, torch.randn(3, 1, 8, 8), training)


def test_a_candidates_mask_is_the_probability_of_block_and_channel() -> None:
    """Blocks conv, e2, e3 with 0.5, 0.3, 0.2; 8 or 16 channels with 0.75, 0.25; the second block with 0.4."""
    space = card({"channels": [8, 16], "depth": [1, 2], "blocks": [CONV, {**MBCONV, "kernel_size": 3}]})
    assert [v.name for v in space.variables] == ["stage1.channels", "stage1.block", "stage1.depth"]
    rows = [torch.tensor(row) for row in ([0.75, 0.25], [0.5, 0.3, 0.2], [0.6, 0.4])]
    first, second = masked_plan(space).blocks
    for place, there in ((first, 1.0), (second, 0.4)):
        conv, mbconv = place.candidates  # expansions are widths of one block
        expected = torch.tensor([1.0] * 8 + [0.25] * 8)
        torch.testing.assert_close(conv.out.mask(rows), 0.5 * there * expected)
        torch.testing.assert_close(mbconv.out.mask(rows), 0.5 * there * expected)
        assert conv.inner is None and mbconv.inner is not None
    # stem of 8 channels: 16 or 24 inside with 0.6, 0.4, given that the block is an inverted residual
    inner = first.candidates[1].inner
    assert inner is not None
    torch.testing.assert_close(inner.mask(rows), torch.tensor([1.0] * 16 + [0.4] * 8))
    # 8 or 16 channels before it: 16, 24 or 32, 48
    inner = second.candidates[1].inner
    assert inner is not None
    wide = [1.0] * 16 + [0.4 + 0.6 * 0.25] * 8 + [0.25] * 8 + [0.25 * 0.4] * 16
    torch.testing.assert_close(inner.mask(rows), torch.tensor(wide))
    # left out with 0.6, an inverted residual that adds its input with 0.4 * 0.5
    torch.testing.assert_close(second.shortcut((0, 1)).mask(rows), torch.tensor([0.6 + 0.2]))


def test_a_block_of_some_depths_is_there_with_their_probability() -> None:
    space = card({"channels": 8, "depth": [1, 2, 3], "blocks": [CONV]})
    masked = MaskedNetwork(space).eval()
    stirred(masked)
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        found = masked(x, [torch.tensor([0.5, 0.3, 0.2])])
        y = masked.network.forward_stem(x)
        first, second, third = masked.network.blocks[0]
        y = first(y)
        y = 0.5 * second(y) + 0.5 * y
        y = 0.2 * third(y) + 0.8 * y
        expected = masked.network.forward_head(masked.network.forward_final(y))
    torch.testing.assert_close(found, expected)


def test_a_mixture_is_the_sum_of_its_masked_candidates() -> None:
    """One block of two kinds behind a stem of 8: 0.6 conv + 0.4 (mbconv + input), channels 8 and up by a quarter."""
    space = card({"channels": [8, 16], "depth": 1, "blocks": [CONV, {"kind": "inverted_residual"}]})
    masked = MaskedNetwork(space).eval()
    stirred(masked)
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        found = masked(x, [torch.tensor([0.75, 0.25]), torch.tensor([0.6, 0.4])])
        y = masked.network.forward_stem(x)
        conv, mbconv = masked.network.blocks[0][0], masked.others[0][0]  # type: ignore[index]
        width = torch.tensor([1.0] * 8 + [0.25] * 8)[:, None, None]
        mixture = width * (0.6 * conv(y) + 0.4 * mbconv(y))
        mixture[:, :8] += 0.4 * 0.75 * y  # a shortcut where 8 channels stay 8
        expected = masked.network.forward_head(masked.network.forward_final(mixture))
    torch.testing.assert_close(found, expected)


def test_logits_of_heads_are_mixed_by_their_probabilities(double: None) -> None:
    """Heads of several kinds and widths: what follows their masks is linear."""
    space = optional_stages()
    masked = MaskedNetwork(space).eval()
    stirred(masked)
    x = torch.randn(2, 1, 8, 8)
    heads = torch.tensor([0.1, 0.2, 0.3, 0.25, 0.15])
    assert space.variables[-1].name == "head" and len(space.variables[-1]) == len(heads)
    before = [len(variable) - 1 for variable in space.variables[:-1]]
    with torch.no_grad():
        found = masked(x, [*masked.one_hot([*before, 0])[:-1], heads])
        expected = sum(share * masked.extract([*before, gene])(x) for gene, share in enumerate(heads))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("logit", [0.0, 200.0])
def test_gradients_reach_every_choice_and_weight(logit: float) -> None:
    """And stay finite where a kind has no probability left: the widths inside it are then given nothing."""
    space = mixed()
    masked = MaskedNetwork(space)
    theta = [torch.zeros(len(variable), requires_grad=True) for variable in space.variables]
    with torch.no_grad():
        for row in theta:
            row[0] = logit
    masked(torch.randn(8, 1, 8, 8), [row.softmax(0) for row in theta]).square().sum().backward()
    gradients = [row.grad for row in theta]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    if not logit:
        assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
        assert all(parameter.grad is not None for parameter in masked.parameters())


@pytest.mark.parametrize("mode", ["hard", "top2"])
def test_what_has_no_probability_is_not_executed(mode: str) -> None:
    space = mixed()
    masked = MaskedNetwork(space).train()
    sizes = [len(variable) for variable in space.variables]
    theta = initial_theta(sizes).requires_grad_()
    path, _ = draw_path(theta, 1.0, mode, torch.Generator().manual_seed(1), differentiable=True)
    masked(torch.randn(4, 1, 8, 8), path.rows(sizes)).square().sum().backward()
    assert theta.grad is not None and theta.grad[theta.isfinite()].abs().sum() > 0
    executed = []
    for place, modules in zip(masked.plan.blocks, masked._candidate_modules(), strict=True):
        choices = [path.active[v] for v in place.variables]
        possible = {int(k) for k in place.taken[np.ix_(*choices)].ravel()} - {-1}
        ran = {k for k, m in enumerate(modules) if any(p.grad is not None for p in m.parameters())}
        assert ran == possible
        executed.append(len(ran))
    assert min(executed) <= 1 and max(executed) <= (1 if mode == "hard" else 2)
