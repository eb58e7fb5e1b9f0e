"""The superkernel's decisions: published formulas, autograd's gradients, and what the default mode cures."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.methods.supernets.nested_candidates import nest_of
from nas.methods.supernets.superkernel import Superkernel
from nas.methods.supernets.superkernel_block import SuperBlock, indicator
from tests.methods.nested_spaces import PAPER_SPACE, SPACES


def block(index: int, mode: str, seed: int = 0) -> SuperBlock:
    """A searched block of the paper's space with the published initialisation."""
    torch.manual_seed(seed)
    made = SuperBlock(nest_of(PAPER_SPACE.positions[index]), mode)  # type: ignore[arg-type]
    torch.nn.init.normal_(made.block.conv_dw.weight, 0.0, (2 / 25) ** 0.5)
    return made


def test_indicator_is_a_step_with_the_sigmoids_gradient() -> None:
    x = torch.tensor([-2.0, 0.0, 1.5, 33.9411], requires_grad=True)
    out = indicator(x)
    assert out.tolist() == [0, 1, 1, 1]
    out.sum().backward()
    y = x.detach().double().requires_grad_()
    torch.sigmoid(y).sum().backward()
    assert x.grad is not None and y.grad is not None
    np.testing.assert_allclose(x.grad[:3], y.grad[:3], rtol=1e-4)
    assert float(x.grad[3]) == pytest.approx(math.exp(-33.9411), rel=1e-3)  # to which sigmoid(1 - sigmoid) is blind
    draws = indicator(torch.full((20000,), 1.0), torch.rand(20000, generator=torch.Generator().manual_seed(0)).logit())
    assert float(draws.mean()) == pytest.approx(1 / (1 + math.exp(-1)), abs=0.015)


def reference(weight: Tensor, t5: Tensor, t50: Tensor, t100: Tensor) -> tuple[Tensor, ...]:
    """The published formulas, written out: indicators d5, d50, d100 and the effective kernel."""

    def step(x: Tensor) -> Tensor:
        soft = torch.sigmoid(x)
        return (x >= 0).to(x.dtype) + (soft - soft.detach())

    inner = torch.zeros(5, 5, dtype=weight.dtype)
    inner[1:4, 1:4] = 1
    half = (torch.arange(len(weight)) < round(len(weight) / 2)).to(weight.dtype).view(-1, 1, 1, 1)
    d5 = step((weight * (1 - inner)).norm() - t5)
    v = weight * inner + d5 * weight * (1 - inner)
    d100 = step((v * (1 - half)).norm() - t100)
    d50 = step((v * half).norm() - t50)
    return d5, d50, d100, d50 * (v * half + d100 * v * (1 - half))


@pytest.mark.parametrize("shift", list(itertools.product((-0.7, 0.6), repeat=3)))
def test_paper_mode_is_the_published_formulas_with_autograds_gradients(shift: tuple[float, ...]) -> None:
    searched = block(1, "paper").double()
    weight = searched.block.conv_dw.weight
    with torch.no_grad():  # thresholds near the norms, where every gradient is large
        energy, counts = searched.energies()
        searched.kernel_thresholds.copy_(searched.kernel_margins(energy, counts) - shift[0])
        gates = torch.tensor([1.0, float(shift[0] >= 0)], dtype=torch.float64)
        searched.width_thresholds.copy_(searched.width_margins(energy, counts, gates) - torch.tensor(shift[1:]))
    x = torch.randn(2, 24, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = searched.indicators()
    t5, (t50, t100) = searched.kernel_thresholds, searched.width_thresholds
    d5, d50, d100, effective = reference(weight, t5[0], t50, t100)
    assert torch.cat([found.kernel, found.width]).tolist() == torch.stack([d5, d50, d100]).tolist()
    parameters = [weight, searched.kernel_thresholds, searched.width_thresholds]
    # the block under its masks is the plain block with the effective kernel
    h = searched.block.bn1(searched.block.conv_pw(x))
    h = searched.block.bn2(F.conv2d(h, effective, None, 1, 2, groups=144))
    wanted = searched.block.bn3(searched.block.conv_pwl(h)) + x
    mine = searched(x, found)
    torch.testing.assert_close(mine, wanted)
    target = torch.randn(mine.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    want = torch.autograd.grad((wanted * target).sum(), parameters)
    got = torch.autograd.grad((mine * target).sum(), parameters)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


def test_norms_at_hand_computed_points() -> None:
    searched = block(1, "paper")
    with torch.no_grad():
        searched.block.conv_dw.weight.fill_(0.5)
    energy, counts = searched.energies()
    assert counts.tolist() == [[72 * 9, 72 * 16]] * 2
    # shell of 16 taps x 144 channels of 0.25; half of the channels with 9 and with 25 taps
    assert float(searched.kernel_margins(energy, counts).detach()) == pytest.approx((144 * 16 * 0.25) ** 0.5)
    for taps, gates in ((9, [1.0, 0.0]), (25, [1.0, 1.0])):
        norms = searched.width_margins(energy, counts, torch.tensor(gates))
        np.testing.assert_allclose(norms.detach(), (72 * taps * 0.25) ** 0.5, rtol=1e-6)
    plain = block(1, "default")
    with torch.no_grad():
        plain.block.conv_dw.weight.fill_(0.5)
        plain.block.conv_dw.weight[72:] = 1.0
    energy, counts = plain.energies()
    mean = ((0.25 + 1.0) / 2) ** 0.5
    norms = plain.width_margins(energy, counts, torch.ones(2)) + plain.width_thresholds
    np.testing.assert_allclose(norms.detach(), [0.5 / mean, 1.0 / mean], rtol=1e-6)


def test_threshold_gradient_of_the_widest_block() -> None:
    """1,152 channels at initialisation: nothing in the paper's norms, a usable gradient with scale-free ones."""
    found = {}
    for mode in ("paper", "default"):
        searched = block(18, mode)
        assert searched.nest.widths == (576, 1152)
        searched.indicators().width[0].backward()
        assert searched.width_thresholds.grad is not None
        found[mode] = abs(float(searched.width_thresholds.grad[0]))
    assert found["paper"] == pytest.approx(1.8e-15, rel=0.6)  # sigmoid'(33.9), give or take the draw of the weights
    assert found["default"] == pytest.approx(0.16, abs=0.01)  # p (1 - p) at p = 4/5: four blocks and a skip


@pytest.mark.parametrize("name", SPACES)
def test_every_candidate_is_equally_likely_at_the_start(name: str) -> None:
    space = SPACES[name]()
    torch.manual_seed(0)
    for searched in Superkernel(space).blocks:
        row = searched.probabilities().detach()
        assert float(row.sum()) == pytest.approx(1)
        assert float(row.max() / row.min()) < 2


def test_probabilities_are_those_of_the_draws() -> None:
    torch.manual_seed(0)
    searched = Superkernel(SPACES["more choices"]()).blocks[1]
    draws = torch.Generator().manual_seed(0)
    counts = np.zeros(len(searched.nest.choices))
    with torch.no_grad():
        p = searched.probabilities().numpy()
        for _ in range(2000):
            found = searched.indicators(torch.rand(searched.num_decisions, generator=draws).logit())
            gene = searched.nest.gene(found.kernel.bool().tolist(), found.width.bool().tolist(), bool(found.se))
            counts[gene] += 1
    sigma = np.sqrt(2000 * p * (1 - p))
    assert (np.abs(counts - 2000 * p) < 4.5 * sigma + 1).all()
