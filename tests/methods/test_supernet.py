"""The supernet against stand-alone networks, on random genotypes of every geometry."""

import numpy as np
import pytest
import torch

from nas.methods.supernets.mixture import PathWeights, Supernet, mix
from nas.methods.supernets.paths import draw_path, initial_theta
from search_spaces import LayerwiseSpace
from search_spaces.blocks import Classifier, PooledConv
from search_spaces.families.fbnet import fbnet
from tests.search_spaces.every_kind import every_kind

SPACES = {
    "paper": lambda: fbnet(72, 10, width=0.35, head_channels=64),  # odd maps from the fourth stage on
    "small": lambda: fbnet(16, 10, width=0.5, head_channels=64),
    "gray 16": lambda: fbnet(16, 10, in_channels=1, width=0.25, head_channels=64, skip_at_shape_change=False),
    "every kind": every_kind,
}


@pytest.fixture(params=SPACES)
def space(request: pytest.FixtureRequest) -> LayerwiseSpace:
    return SPACES[request.param]()


def perturbed(supernet: Supernet) -> Supernet:
    """Batch norms that are no identities, so that a mixed-up one is noticed."""
    generator = torch.Generator().manual_seed(0)
    for module in supernet.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.add_(torch.rand(tensor.shape, generator=generator) * 0.2)
    return supernet


def images(space: LayerwiseSpace, count: int) -> torch.Tensor:
    return torch.randn(count, *space.skeleton.input_shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("training", [False, True])
def test_one_hot_path_is_the_standalone_network_bit_for_bit(space: LayerwiseSpace, training: bool) -> None:
    torch.manual_seed(0)
    supernet = perturbed(Supernet(space)).train(training)
    x = images(space, 4)
    for genotype in space.sample(3, np.random.default_rng(0)):
        network = supernet.extract(genotype)
        assert network.training is training
        with torch.no_grad():
            expected = network(x)
            assert torch.equal(supernet(x, PathWeights.one_hot(genotype)), expected)


def test_soft_path_is_the_weighted_sum_of_candidates(space: LayerwiseSpace) -> None:
    torch.manual_seed(0)
    supernet = perturbed(Supernet(space)).eval()
    sizes = [len(position.candidates) for position in space.positions]
    path, m = draw_path(initial_theta(sizes), 1.0, "soft", torch.Generator().manual_seed(0), differentiable=False)
    x = images(space, 2)
    with torch.no_grad():
        found = supernet(x, path)
        y = supernet.ends.bn1(supernet.ends.conv_stem(x))
        for i, slot in enumerate(supernet.slots):
            y = sum(m[i, k] * candidate(y) for k, candidate in enumerate(slot))
        expected = supernet.ends.forward_head(supernet.ends.bn2(supernet.ends.conv_head(y)))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_candidates_off_the_path_get_no_gradient_and_no_statistics(space: LayerwiseSpace) -> None:
    torch.manual_seed(0)
    supernet = Supernet(space).train()
    genotype = [0] * len(space.positions)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    supernet(images(space, 2), PathWeights.one_hot(genotype)).sum().backward()
    for i, slot in enumerate(supernet.slots):
        for k, candidate in enumerate(slot):
            for name, parameter in candidate.named_parameters():
                assert (parameter.grad is not None) == (k == 0), (i, k, name)
    for name, value in supernet.state_dict().items():
        if name.startswith("slots.") and name.split(".")[2] != "0":
            assert torch.equal(value, before[name]), name


def test_a_path_of_another_length_is_refused(space: LayerwiseSpace) -> None:
    supernet = Supernet(space)
    with pytest.raises((ValueError, IndexError)):
        supernet(images(space, 2), PathWeights.one_hot([0]))
    with pytest.raises(ValueError, match="the path has"):
        supernet(images(space, 2), PathWeights.one_hot([0] * 23))


@pytest.mark.parametrize("mode", ["soft", "top2", "hard"])
def test_a_mixture_is_the_weighted_sum_of_its_candidates(space: LayerwiseSpace, mode: str) -> None:
    """`mix` sums up the shortcuts apart from the branches; here each candidate runs as it is."""
    torch.manual_seed(0)
    supernet = perturbed(Supernet(space)).double().eval()
    theta = initial_theta([len(position.candidates) for position in space.positions])
    path, _ = draw_path(theta, 1.0, mode, torch.Generator().manual_seed(0), differentiable=True)
    slots = [slot for slot in supernet.slots if len(slot) > 1]
    for slot, position, active, weights in zip(slots, space.positions, path.active, path.weights, strict=True):
        x = torch.randn(2, *position.shape, dtype=torch.float64)
        weights = weights.double()
        expected = sum(weights[i] * slot[k](x) for i, k in enumerate(active))
        torch.testing.assert_close(mix(x, slot, None, active, weights), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("space", "training"),
    [*((name, True) for name in SPACES), ("small", False), ("every kind", False)],
    indirect=["space"],
)
def test_fused_mixture_equals_the_plain_loop(space: LayerwiseSpace, training: bool) -> None:
    """Outputs, gradients of weights and theta, and batch statistics, in double precision."""
    outcomes = []
    for fused in (False, True):
        torch.manual_seed(0)
        supernet = perturbed(Supernet(space, fused=fused)).double().train(training)
        theta = initial_theta([len(position.candidates) for position in space.positions]).requires_grad_()
        path, _ = draw_path(theta, 1.0, "soft", torch.Generator().manual_seed(0), differentiable=True)
        x = images(space, 2).double()
        logits = supernet(x, PathWeights(path.active, tuple(w.double() for w in path.weights)))
        (logits * torch.linspace(-1, 1, logits.numel(), dtype=torch.float64).view_as(logits)).sum().backward()
        gradients = {name: p.grad for name, p in supernet.named_parameters()}
        outcomes.append((logits.detach(), gradients, theta.grad, supernet.state_dict()))
    plain, fused_ = outcomes
    torch.testing.assert_close(fused_[0], plain[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(fused_[2], plain[2], rtol=1e-5, atol=1e-6)
    assert plain[1].keys() == fused_[1].keys()
    for name in plain[1]:
        torch.testing.assert_close(fused_[1][name], plain[1][name], rtol=1e-6, atol=1e-8, msg=name)
    for name in plain[3]:
        torch.testing.assert_close(fused_[3][name], plain[3][name], rtol=1e-9, atol=1e-9, msg=name)


def test_a_universal_bottleneck_runs_with_the_inverted_residuals_it_is_equal_to() -> None:
    plans = Supernet(every_kind()).plans
    assert all(plan is not None and (0, 5) in plan.families for plan in plans)


def test_the_norm_behind_the_pooling_is_taken_over() -> None:
    """MobileNetV4's head."""
    slots = every_kind().slots
    head = [[PooledConv(24, act="relu", norm=True)], [Classifier(10)]]
    supernet = perturbed(Supernet(LayerwiseSpace("v4 head", 8, [*slots[:-1], head], 1))).eval()
    network = supernet.extract((2, 4, 6))
    x = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(supernet(x, PathWeights.one_hot((2, 4, 6))), network(x))
        network.norm_head.bias.add_(1.0)
        assert not torch.equal(supernet(x, PathWeights.one_hot((2, 4, 6))), network(x))


def test_every_fbnet_position_is_fused() -> None:
    supernet = Supernet(SPACES["small"]())
    assert all(plan is not None for plan in supernet.plans)
    assert [len(family) for family in supernet.plans[0].families] == [4, 4]
