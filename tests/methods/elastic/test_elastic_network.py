"""Views of the elastic supernet against the networks they are views of."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nas.methods.elastic.network import ElasticNetwork, scaled_to
from search_spaces.arch import Arch
from search_spaces.blocks.parts import slices
from search_spaces.families.fbnet import fbnet
from search_spaces.families.mobilenetv2.space import mobilenetv2
from search_spaces.from_card import from_card
from search_spaces.space import SearchSpace
from tests.methods.elastic.elastic_spaces import SPACES, card


@cache
def made(name: str) -> ElasticNetwork:
    torch.manual_seed(0)
    network = ElasticNetwork(SPACES[name]())
    for parameter in network.parameters():  # norms and biases that differ between channels
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return network


def archs(space: SearchSpace, count: int, seed: int = 0) -> list[Arch]:
    cost = space.count("macs")
    ends = [cost.cheapest(), cost.most_expensive()]
    drawn = space.sample(count, np.random.default_rng(seed)).tolist()
    return [space.decode(genotype) for genotype in (*ends, *drawn)]


@pytest.mark.parametrize("name", SPACES)
def test_a_view_is_the_network_that_is_taken_out(name: str) -> None:
    """Outputs in training (statistics of the slice) and evaluation, running statistics, and the gradients."""
    network = copy.deepcopy(made(name))
    for arch in archs(network.space, 1):
        x = torch.randn(4, *arch.input_shape)
        alone = network.train().extract(arch)
        network.zero_grad()
        y, z = network(x, arch), alone(x)
        torch.testing.assert_close(y, z, rtol=1e-5, atol=1e-5)
        labels = torch.arange(4) % y.shape[1]
        F.cross_entropy(y, labels).backward()
        F.cross_entropy(z, labels).backward()
        behind = network.extract(arch).state_dict()
        for key, value in alone.state_dict().items():
            torch.testing.assert_close(behind[key], value, rtol=1e-5, atol=1e-5, msg=key)
        gradients = copy.deepcopy(network)
        for parameter, own in zip(gradients.parameters(), network.parameters(), strict=True):
            parameter.data = torch.zeros_like(own) if own.grad is None else own.grad
        sliced = dict(gradients.extract(arch).named_parameters())
        for key, parameter in alone.named_parameters():
            torch.testing.assert_close(sliced[key].data, parameter.grad, rtol=1e-4, atol=1e-5, msg=key)
        whole = sum(float(p.grad.abs().sum()) for p in network.parameters() if p.grad is not None)
        cut = sum(float(p.grad.abs().sum()) for p in alone.parameters() if p.grad is not None)
        assert whole == pytest.approx(cut, rel=1e-3), "weights outside of the slice got a gradient"
        with torch.no_grad():
            torch.testing.assert_close(network.eval()(x, arch), network.extract(arch)(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("whole", [(9,), (6, 8), (8, 6, 5, 5), (8, 1, 7, 7), (6, 4, 3, 5)])
def test_a_cut_is_its_dimensions_cut_one_by_one(whole: tuple[int, ...]) -> None:
    """In value and gradient, bit for bit, in both orders of memory."""
    torch.manual_seed(0)
    for trial in range(6):
        less = (trial % 3, trial % 2, 2 * (trial // 2), 2 * (trial // 3))  # kernels lose the same on both sides
        shape = [max(size - lost, 1) for size, lost in zip(whole, less, strict=False)]
        for order in (torch.contiguous_format, torch.channels_last)[: 2 if len(whole) == 4 else 1]:
            weight = torch.randn(whole).to(memory_format=order).requires_grad_()
            chained, mine = weight.detach().clone().requires_grad_(), slices.cut(weight, shape)
            expected: torch.Tensor = chained
            for dim, size in enumerate(shape):
                expected = expected.narrow(dim, 0 if dim < 2 else (whole[dim] - size) // 2, size)
            assert torch.equal(mine, expected)
            weights = torch.randn(expected.shape)
            for part in (mine, expected):
                (part * weights).sum().backward()
            assert weight.grad is not None and chained.grad is not None
            assert torch.equal(weight.grad, chained.grad) and weight.grad.is_contiguous(memory_format=order)


@pytest.mark.parametrize("name", SPACES)
def test_the_envelope_is_no_larger_than_the_largest_fields(name: str) -> None:
    """Every envelope is needed, and no weight lies outside of all archs where fields are free of each other."""
    network = made(name)
    used = {(step.place, step.envelope) for arch in archs(network.space, 400, 1) for step in network.plan.steps(arch)}
    there = [(i, e) for i, place in enumerate(network.plan.places) for e in range(len(place.envelopes))]
    assert used <= set(there)
    assert len(used) >= 0.9 * len(there)  # rare ones may not have been drawn


def test_archs_of_one_kind_share_their_weights() -> None:
    network = made("card")
    kinds = [{envelope.layer.kind for envelope in place.envelopes} for place in network.plan.places]
    assert {"inverted_residual", "residual_block"} in kinds
    for place in network.plan.places:
        forms = [(envelope.layer.kind, envelope.expands) for envelope in place.envelopes]
        assert len(forms) == len(set(forms))


def test_the_largest_arch_of_a_chain_is_the_envelope() -> None:
    space = mobilenetv2(16, 10, 1)
    largest = space.decode(space.count("params").most_expensive())
    assert sum(p.numel() for p in ElasticNetwork(space).parameters()) == largest.params


def test_nothing_of_an_arch_stays_but_batch_statistics() -> None:
    network = copy.deepcopy(made("mobile"))
    first, second = archs(network.space, 2, 3)[2:]
    x = torch.randn(4, *first.input_shape)
    before = network.train()(x, first).detach()
    known = {key: value for key, value in vars(network).items() if key != "plan"}
    network(x, second)
    torch.testing.assert_close(network(x, first).detach(), before, rtol=0, atol=0)
    assert {key: value for key, value in vars(network).items() if key != "plan"} == known


def test_images_follow_the_arch() -> None:
    network = made("mobilenetv2").eval()
    small = next(arch for arch in archs(network.space, 20) if arch.resolution == 12)
    x = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network(x, small), network.extract(small)(scaled_to(x, small)))
        assert scaled_to(x, small).shape[2:] == (12, 12)
        assert scaled_to(x, network.space.decode(network.space.count("macs").most_expensive())) is x


def test_what_is_no_slice_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r"fbnet: stage 1, .*grouped convolutions do not nest.*search.scorer=training"):
        ElasticNetwork(fbnet(16, 10, 1))
    with pytest.raises(ValueError, match="is not in"):
        made("card")(torch.randn(2, 1, 8, 8), archs(SPACES["mobile"](), 0)[0])


def test_kinds_that_say_nothing_of_slices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from search_spaces.blocks import ResidualBlock

    monkeypatch.setattr(ResidualBlock, "elastic", None)
    with pytest.raises(ValueError, match="residual_block blocks do not say how they are sliced"):
        ElasticNetwork(card())


def test_even_and_odd_kernels_share_nothing() -> None:
    kernels = [{"kind": "conv_bn_act", "kernel_size": k, "padding": "tensorflow"} for k in (2, 3, 4, 5)]
    stages = [{"channels": 8, "depth": 2, "stride": 2, "blocks": kernels}]
    space = from_card(stages, {"out_channels": 8}, {"out_channels": 8}, "even", 9, 3, 1)
    network = ElasticNetwork(space)
    assert sorted(len(place.envelopes) for place in network.plan.places) == [1, 1, 1, 2, 2]
    for arch in archs(space, 6):
        x = torch.randn(3, *arch.input_shape)
        alone = network.extract(arch)
        torch.testing.assert_close(network(x, arch), alone(x))
