"""Which archs an elastic supernet trains: as many of every cost, and the same ones again."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from nas.methods.elastic.sampling import ArchSampler
from tests.methods.elastic.elastic_spaces import SPACES


@pytest.mark.parametrize("name", ["single_path", "mobilenetv2", "rexnet_monotone", "mobile"])
def test_costs_are_uniform_where_genes_are_not(name: str) -> None:
    space = SPACES[name]()
    cost = space.count("macs")
    low, high = cost.reachable()
    shares = {}
    for sampling in ("latency", "genes"):
        sampler = ArchSampler(space, cost, sampling, 0.0, 1.0, 0)  # type: ignore[arg-type]
        macs = np.array([group[0].macs for step in range(30) for group in sampler.draw(0, step, 4)])
        shares[sampling] = (macs - low) / (high - low)
    assert kstest(shares["latency"], "uniform").statistic < 0.16  # 1% of uniform samples of 120 exceed 0.149
    assert kstest(shares["latency"], "uniform").statistic < kstest(shares["genes"], "uniform").statistic / 2


def test_a_range_of_interest_is_kept() -> None:
    space = SPACES["single_path"]()
    cost = space.count("params")
    low, high = cost.reachable()
    sampler = ArchSampler(space, cost, "latency", 0.2, 0.3, 1)
    found = [group[0].params for step in range(25) for group in sampler.draw(1, step, 4)]
    assert low + 0.19 * (high - low) < min(found) and max(found) < low + 0.31 * (high - low)


def test_draws_are_functions_of_seed_epoch_and_step() -> None:
    space = SPACES["card"]()
    one, other = (ArchSampler(space, space.count("macs"), "latency", 0.0, 1.0, 3) for _ in range(2))
    one.draw(0, 0, 2)
    assert one.draw(2, 5, 3) == other.draw(2, 5, 3) != other.draw(2, 6, 3)
    assert len({arch.id for step in range(20) for (arch,) in other.draw(2, step, 2)}) > 10


def test_groups_are_of_one_cost() -> None:
    space = SPACES["fbnet"]()
    cost = space.count("macs")
    low, high = cost.reachable()
    for group in ArchSampler(space, cost, "latency", 0.0, 1.0, 3).draw(0, 0, 4, of=3):
        macs = [arch.macs for arch in group]
        assert len({arch.id for arch in group}) == 3
        assert max(macs) - min(macs) < 0.05 * (high - low)


def test_the_ends_are_the_ends_of_the_space() -> None:
    space = SPACES["fbnetv3"]()
    sampler = ArchSampler(space, space.count("params"), "genes", 0.0, 1.0, 0)
    assert (sampler.smallest.macs, sampler.largest.macs) == space.count("macs").reachable()


@pytest.mark.parametrize("name", ["single_path", "mobile"])
def test_ends_of_a_range_are_within_it(name: str) -> None:
    """No step trains what nobody asks for: the sandwich's ends are those of the range."""
    space = SPACES[name]()
    cost = space.count("macs")
    low, high = cost.reachable()
    sampler = ArchSampler(space, cost, "latency", 0.1, 0.2, 0)
    assert low + 0.1 * (high - low) <= sampler.smallest.macs < low + 0.12 * (high - low)
    assert low + 0.18 * (high - low) < sampler.largest.macs <= low + 0.2 * (high - low)
    assert sampler.own_ends == {"smallest": sampler.smallest.id, "largest": sampler.largest.id}
    assert not ArchSampler(space, cost, "latency", 0.0, 1.0, 0).own_ends
    assert not ArchSampler(space, cost, "genes", 0.1, 0.2, 0).own_ends  # draws over the whole space
