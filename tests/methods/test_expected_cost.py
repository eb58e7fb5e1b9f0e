"""Expected costs under masks: by hand, as the mean over all networks, and where there is none."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from nas.methods.supernets.expected_cost import ExpectedCost
from search_spaces.blocks import ConvBNAct
from search_spaces.choices import Chain, combine, constant
from search_spaces.composed import ComposedSpace
from search_spaces.families.rexnet.space import rexnet
from search_spaces.pricing.additive import AdditiveCost
from tests.methods.masked_networks import card, mixed


def chain_cost() -> AdditiveCost:
    """A width before (2), a kind (2) and a width (2): the first layer's ms by width, the second's by all three."""
    first = np.array([1.0, 2.0])
    second = np.array([[[1.0, 2.0], [4.0, 8.0]], [[2.0, 3.0], [5.0, 16.0]]])
    return AdditiveCost(0.5, ((0,), (0, 1, 2)), (first, second), (2, 2, 2))


def test_expected_latency_and_its_gradient_by_hand() -> None:
    """p = (1/4, 3/4), (1/2, 1/2), (1/2, 1/2): E = 0.5 + 7/4 + (15/4 + 3 * 26/4) / 4 = 8.0625 ms.

    The second layer costs 15/4 behind the narrow width and 26/4 behind the wide one. By theta:
    dE/dtheta_i = p_i (E_i - E), E_i the expectation where choice i is taken.
    """
    theta = [torch.tensor([0.0, np.log(3.0)], requires_grad=True), *(torch.zeros(2, requires_grad=True) for _ in "ab")]
    expected = ExpectedCost(chain_cost())([row.softmax(0) for row in theta])
    expected.backward()
    mean = float(expected.detach())
    assert mean == pytest.approx(8.0625)
    narrow, wide = 0.5 + 1 + 15 / 4, 0.5 + 2 + 26 / 4
    kinds = [0.5 + 1.75 + (a + 3 * b) / 4 for a, b in ((3 / 2, 5 / 2), (12 / 2, 21 / 2))]
    widths = [0.5 + 1.75 + (a + 3 * b) / 4 for a, b in ((5 / 2, 7 / 2), (10 / 2, 19 / 2))]
    for row, p, cases in zip(theta, ([0.25, 0.75], [0.5] * 2, [0.5] * 2), ((narrow, wide), kinds, widths), strict=True):
        wanted = [q * (case - mean) for q, case in zip(p, cases, strict=True)]
        assert row.grad is not None
        torch.testing.assert_close(row.grad, torch.tensor(wanted), check_dtype=False)


def test_the_price_of_a_one_hot_point_is_that_of_its_network() -> None:
    """A layer's price depends on its kind, its width, the width before and whether it is there."""
    space = mixed()
    cost = space.cost(lambda layer, shape: layer.cost(shape).macs / 1e4 + 1.1, 0.25)
    expectation = ExpectedCost(cost)
    for genotype in space.sample(5, np.random.default_rng(0)).tolist():
        hot = [torch.eye(n)[g] for n, g in zip(cost.cardinalities, genotype, strict=True)]
        steps = list(space.decode(genotype).walk())
        alone = 0.25 + sum(layer.cost(shape).macs / 1e4 + 1.1 for layer, shape in steps)
        assert float(expectation(hot)) == pytest.approx(alone)


def enumerated(cost: AdditiveCost, probabilities: list[Tensor]) -> float:
    total = 0.0
    for genes in itertools.product(*(range(n) for n in cost.cardinalities)):
        total += float(cost(np.array([genes]))[0]) * float(
            np.prod([float(p[g]) for p, g in zip(probabilities, genes, strict=True)])
        )
    return total


def test_expected_macs_at_a_hand_computed_point() -> None:
    """1x1 convolutions on 2x2 maps, 1 -> a -> b -> 10 classes, a of {8, 16}, b of {8, 24}, head 4.

    E = 4 (E[a] + E[a] E[b] + E[b] 4) + 4 * 10 = 4 (14 + 14 * 12 + 48) + 40 = 960 for E[a] = 14, E[b] = 12.
    """
    chain = Chain("tiny", (2,), 1)
    a, b = (chain.choice(name, options) for name, options in (("a", (8, 16)), ("b", (8, 24))))
    for width in (a, b, constant(4)):
        chain.layer(combine(lambda c: ConvBNAct(c), width), width)
        chain.next_stage()
    space = chain.space(10)
    assert isinstance(space, ComposedSpace)
    found = ExpectedCost(space.count("macs"))([torch.tensor([0.25, 0.75]), torch.tensor([0.75, 0.25])])
    assert float(found) == pytest.approx(960)


def test_expected_cost_is_the_mean_over_all_networks() -> None:
    """Also where one width is input and output of a block, so that effective channels would miss its variance."""
    stage = {"channels": [8, 16, 24], "depth": 2, "blocks": [{"kind": "inverted_residual"}]}
    space = card(stage, {**stage, "stride": 2}, stage)
    cost = space.count("macs")
    probabilities = [torch.rand(n, dtype=torch.float64).softmax(0) for n in cost.cardinalities]
    assert float(ExpectedCost(cost)(probabilities)) == pytest.approx(enumerated(cost, probabilities), rel=1e-9)
    rng = np.random.default_rng(0)
    latency = space.cost(lambda layer, shape: rng.random())
    assert float(ExpectedCost(latency)(probabilities)) == pytest.approx(enumerated(latency, probabilities), rel=1e-9)
    one = space.sample(1, rng)[0].tolist()
    hot = [torch.eye(n)[g] for n, g in zip(cost.cardinalities, one, strict=True)]
    assert float(ExpectedCost(cost)(hot)) == space.decode(one).macs


def test_monotone_costs_have_no_expectation() -> None:
    with pytest.raises(ValueError, match="chosen independently"):
        ExpectedCost(rexnet(16, 10, 1, channels="monotone").count("macs"))
