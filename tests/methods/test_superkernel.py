"""The superkernel against the networks it contains."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nas.methods.supernets.superkernel import Superkernel
from nas.methods.supernets.superkernel_block import Indicators
from tests.methods.nested_spaces import SPACES, decisions


def settle(net: Superkernel, seed: int = 0) -> Superkernel:
    """Batch norms with statistics, scales and offsets that are not the initial ones."""
    drawn = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_(0.2, 0.3, generator=drawn)
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.5, 1.5, generator=drawn)
    return net


def as_indicators(net: Superkernel, genotype: tuple[int, ...]) -> list[Indicators]:
    """The 0-1 decisions of a genotype."""
    made = []
    for searched, gene in zip(net.blocks, genotype, strict=True):
        kernel, width, se = decisions(searched.nest, gene)
        made.append(Indicators(torch.tensor(kernel).float(), torch.tensor(width).float(), torch.tensor(float(se))))
    return made


@pytest.mark.parametrize("name", SPACES)
def test_extracted_networks_give_the_superkernels_output(name: str) -> None:
    space = SPACES[name]()
    torch.manual_seed(0)
    net = settle(Superkernel(space)).eval()
    x = torch.randn(2, 1, 8, 8)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for genotype in (*space.sample(3, rng), space.cardinalities - 1, 0 * space.cardinalities):
            genes = tuple(int(g) for g in genotype)
            alone = net.extract(genes)(x)
            assert torch.equal(net(x, genes), alone)
            torch.testing.assert_close(net(x, as_indicators(net, genes)), alone, rtol=1e-5, atol=1e-5)


def test_slices_train_as_the_network_alone_does() -> None:
    torch.manual_seed(0)
    space = SPACES["more choices"]()
    net = settle(Superkernel(space)).train()
    genes = tuple(int(g) for g in space.sample(1, np.random.default_rng(1))[0])
    alone = net.extract(genes)
    x = torch.randn(4, 1, 8, 8)
    assert torch.equal(net(x, genes), alone(x))
    again = net.extract(genes).state_dict()
    for name, tensor in alone.state_dict().items():  # batch statistics moved alike
        torch.testing.assert_close(again[name], tensor)


def test_paper_mode_leaks_and_says_so() -> None:
    """As published: a "skipped" block is the identity plus a constant per channel, not the identity."""
    torch.manual_seed(0)
    net = settle(Superkernel(SPACES["single_path"](), "paper")).eval()
    searched = net.blocks[1]
    x = torch.randn(1, 8, 8, 8)
    off = Indicators(torch.zeros(1), torch.zeros(2), torch.tensor(0.0))
    with torch.no_grad():
        extra = searched(x, off) - x
    assert float(extra.abs().max()) > 1e-3
    torch.testing.assert_close(extra, extra[:, :, :1, :1].expand_as(extra))
    clean = settle(Superkernel(SPACES["single_path"]())).eval().blocks[1]
    with torch.no_grad():
        assert torch.equal(clean(x, off), x)


@pytest.mark.parametrize("name", SPACES)
def test_masks_pass_gradients_to_every_threshold(name: str) -> None:
    space = SPACES[name]()
    torch.manual_seed(0)
    net = settle(Superkernel(space)).train()
    noise = torch.rand(net.num_decisions, generator=torch.Generator().manual_seed(0)).logit()
    F.cross_entropy(net(torch.randn(4, 1, 8, 8), net.indicators(noise)), torch.arange(4)).backward()
    moved = [p for p in net.thresholds() if p.numel()]
    assert moved and all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in moved)
    assert sum(float(p.grad.abs().sum()) > 0 for p in moved if p.grad is not None) > 0.5 * len(moved)


def test_decide_is_what_the_thresholds_say() -> None:
    torch.manual_seed(0)
    space = SPACES["single_path"]()
    net = Superkernel(space)
    with torch.no_grad():
        for searched in net.blocks:
            searched.kernel_thresholds.fill_(9.0)  # 3x3
            searched.width_thresholds.fill_(9.0)
            searched.width_thresholds[: 1 - len(searched.first)] = -9.0  # there
    labels = [p.labels[gene] for p, gene in zip(space.positions, net.decide(), strict=True)]
    assert labels == ["k3_e3"] * 20
