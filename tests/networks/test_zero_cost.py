"""Zero-cost scores against their definitions on small networks, and as free statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nas.networks.zero_cost import cost_statistics, joined, naswot, synflow, zero_cost, zero_cost_statistics
from search_spaces.families.fbnet import fbnet

SPACE = fbnet(16, num_classes=4, width=0.25, head_channels=16)
IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_naswot_of_a_hand_made_code() -> None:
    network = nn.Sequential(nn.Flatten(), nn.ReLU())
    images = torch.tensor([[1.0, 1, 1, 1], [1.0, 1, -1, -1], [-1.0, 1, 1, -1]]).reshape(3, 1, 2, 2)
    kernel = np.array([[4, 2, 2], [2, 4, 2], [2, 2, 4]])  # 4 units minus Hamming distances of 2
    assert naswot(network, images) == pytest.approx(np.log(np.linalg.det(kernel)), rel=1e-4)


def test_synflow_of_a_linear_chain() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False))
    first, second = network[1].weight.detach().abs(), network[3].weight.detach().abs()
    total = float((second @ first @ torch.ones(4)).sum())  # each layer's weights carry the whole flow
    before = [p.clone() for p in network.parameters()]
    assert synflow(network, torch.zeros(1, 1, 2, 2)) == pytest.approx(np.log(2 * total))
    assert all((a == b).all() for a, b in zip(before, network.parameters(), strict=True))


def test_a_network_is_left_as_it_was() -> None:
    from nas.networks.network import build_network

    network = build_network(SPACE.decode(SPACE.sample(1, np.random.default_rng(0))[0])).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    naswot(network, IMAGES)
    synflow(network, IMAGES)
    assert not network.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_statistics_repeat_and_do_not_depend_on_company() -> None:
    population = SPACE.sample(4, np.random.default_rng(1))
    alone = zero_cost_statistics(SPACE, IMAGES, seed=3)(population[2:3])
    together = zero_cost_statistics(SPACE, IMAGES, seed=3)(population[[0, 2, 2, 1]])
    np.testing.assert_array_equal(together[[1, 2]], np.repeat(alone, 2, axis=0))
    assert np.ptp(together[[0, 1, 3]], axis=0).min() > 0
    assert (zero_cost_statistics(SPACE, IMAGES, seed=4)(population[2:3]) != alone).any()


def test_costs_are_those_of_the_arch_and_lists_join() -> None:
    population = SPACE.sample(5, np.random.default_rng(2))
    doubled = SPACE.cost(lambda layer, shape: 2.0 * layer.cost(shape).macs)
    values = joined(cost_statistics(SPACE), cost_statistics(SPACE, doubled))(population)
    expected = np.array([tuple(SPACE.decode(g).cost) for g in population], float)
    np.testing.assert_allclose(values[:, :3], expected)
    np.testing.assert_allclose(values[:, 6], 2 * expected[:, 1])


def test_refusals() -> None:
    arch = SPACE.decode(SPACE.sample(1, np.random.default_rng(0))[0])
    with pytest.raises(ValueError, match="unknown zero-cost score 'grasp'; one of naswot, synflow"):
        zero_cost(arch, IMAGES, 0, ["grasp"])
    with pytest.raises(ValueError, match="has none of relu"):
        naswot(nn.Flatten(), IMAGES)
