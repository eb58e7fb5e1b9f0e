"""The superkernel against its formulas, against autograd, and against the networks it contains."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.methods.supernets.nested_candidates import Nest, nest_of
from nas.methods.supernets.objectives import single_path_loss, single_path_runtime_ms
from nas.methods.supernets.superkernel import Superkernel
from nas.methods.supernets.superkernel_block import Indicators, SuperBlock, indicator
from search_spaces import LayerwiseSpace
from search_spaces.families.fbnet import fbnet
from search_spaces.families.single_path import published, single_path
from search_spaces.from_card import from_card

PIXEL = json.loads((Path(__file__).parents[1] / "fixtures/single-path-nas/pixel1_runtime_model.json").read_text())
FIXED_MS = 19.5999
PAPER_SPACE = single_path()


def uib(**fields: object) -> LayerwiseSpace:
    block = {"kind": "universal_bottleneck", "middle_kernel": [3, 5], "expand_ratio": [2, 4], **fields}
    stages = [
        {"channels": 8, "depth": 2, "blocks": [block, {"kind": "skip"}]},
        {"channels": 16, "stride": 2, "depth": 1, "blocks": [block]},
    ]
    made = from_card(stages, {"out_channels": 8, "kernel_size": 3}, {"out_channels": 32}, "uib", 8, 10, 1)
    assert isinstance(made, LayerwiseSpace)
    return made


SPACES = {
    "single_path": lambda: single_path(8, 10, 1, width=0.25, head_channels=32),
    "more choices": lambda: single_path(
        8, 10, 1, width=0.25, head_channels=32, kernels=(3, 5, 7), expansions=(2, 3, 6), se_ratios=(0, 0.25)
    ),
    "se always": lambda: single_path(8, 10, 1, width=0.25, head_channels=32, se_ratios=(0.5,), skip=False),
    "universal bottlenecks": lambda: uib(start_kernel=3, layer_scale=0.5, se=[None, 0.25]),
    "fbnet subset": lambda: fbnet(
        8,
        10,
        1,
        width=0.25,
        head_channels=32,
        skip_at_shape_change=False,
        candidates=["k3_e1", "k3_e6", "k5_e1", "k5_e6", "skip"],
    ),
}


@pytest.fixture(params=SPACES)
def space(request: pytest.FixtureRequest) -> LayerwiseSpace:
    return SPACES[request.param]()


def block(index: int, mode: str, seed: int = 0) -> SuperBlock:
    """A searched block of the paper's space with the published initialisation."""
    torch.manual_seed(seed)
    made = SuperBlock(nest_of(PAPER_SPACE.positions[index]), mode)  # type: ignore[arg-type]
    torch.nn.init.normal_(made.block.conv_dw.weight, 0.0, (2 / 25) ** 0.5)
    return made


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


def decisions(nest: Nest, gene: int) -> tuple[tuple[bool, ...], tuple[bool, ...], bool]:
    """The decisions of a candidate, the inverse of `nest.gene`; of a block that is left out, all "no"."""
    choice = nest.choices[gene]
    if choice is None:
        return (False,) * (len(nest.kernels) - 1), (False,) * len(nest.widths), nest.se[0]
    kernel = tuple(k <= choice.kernel for k in range(1, len(nest.kernels)))
    return kernel, tuple(w <= choice.width for w in range(len(nest.widths))), choice.se


def as_indicators(net: Superkernel, genotype: tuple[int, ...]) -> list[Indicators]:
    """The 0-1 decisions of a genotype."""
    made = []
    for searched, gene in zip(net.blocks, genotype, strict=True):
        kernel, width, se = decisions(searched.nest, gene)
        made.append(Indicators(torch.tensor(kernel).float(), torch.tensor(width).float(), torch.tensor(float(se))))
    return made


# -- decisions


def test_decisions_decode_every_choice_of_every_block(space: LayerwiseSpace) -> None:
    """The published parser turns 3x3-e6 into 3x3-e3 and 5x5-e3 into 5x5-e6."""
    for position in space.positions:
        nest = nest_of(position)
        for gene in range(len(position.candidates)):
            assert nest.gene(*decisions(nest, gene)) == gene


def test_the_five_outcomes_of_the_papers_three_decisions() -> None:
    nest = nest_of(PAPER_SPACE.positions[1])
    labels = {
        bits: nest.position.labels[nest.gene((bits[0],), bits[1:], False)]
        for bits in itertools.product((False, True), repeat=3)
    }
    for (k5, there, e6), label in labels.items():
        assert label == (f"k{5 if k5 else 3}_e{6 if e6 else 3}" if there else "skip")


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        (["k3_e1", "k3_e1_g2"], "candidate 'k3_e1_g2' is not a slice of a larger block .its convolutions are grouped"),
        (["k3_e1", "k5_e3"], "needs every kernel of"),
        (["k3_e1", "k3_e3", "skip"], r"space.skip_at_shape_change=false"),
    ],
)
def test_candidates_that_do_not_nest_are_refused(candidates: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Superkernel(fbnet(8, candidates=candidates))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"start_kernel": [0, 3]}, "differs from the others in start_kernel, not only in kernel, expansion"),
        (
            {"start_kernel": 3, "middle_kernel": [0, 3]},
            "candidate 'uib_a3_k0_e2' is not a slice of a larger block .it has no middle depthwise",
        ),
    ],
)
def test_universal_bottlenecks_that_do_not_nest_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nest_of(uib(**fields).positions[0])


# -- formulas


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


def rows_ms(index: int) -> Tensor:
    columns = [float(PIXEL[str(index)][str(c)]) for c in range(4)]
    return torch.tensor(columns, dtype=torch.float64).view(2, 2)  # (kernels, widths)


def runtime_ms(genotype: list[tuple[int, int, int]]) -> float:
    total = FIXED_MS
    for index, (d5, d50, d100) in enumerate(genotype, start=1):
        kernel = torch.tensor([d5], dtype=torch.float64)
        total += float(single_path_runtime_ms(kernel, torch.tensor([d50, d100], dtype=torch.float64), rows_ms(index)))
    return total


def test_runtime_formula_on_the_pixel_1_table() -> None:
    every = [runtime_ms([bits] * 20) for bits in ((1, 1, 1), (0, 1, 1), (1, 1, 0), (0, 1, 0))]
    assert [round(ms, 2) for ms in every] == [131.46, 110.65, 76.36, 65.64]
    assert round(runtime_ms([(0, int(i % 4 == 0), 0) for i in range(20)]), 2) == 30.79
    nests = [nest_of(position) for position in PAPER_SPACE.positions]
    genotype = PAPER_SPACE.encode(published("spnasnet_100"))
    bits = [decisions(nest, gene)[:2] for nest, gene in zip(nests, genotype, strict=True)]
    assert round(runtime_ms([(int(k[0]), int(w[0]), int(w[1])) for k, w in bits]), 2) == 80.59


def test_runtime_of_more_kernels_and_widths_continues_the_chains() -> None:
    # a table that is a product of a kernel and a width factor is exact
    ms = torch.outer(torch.tensor([1.0, 1.5, 1.75]), torch.tensor([2.0, 3.0, 5.0, 6.0]))
    for k, w in itertools.product(range(3), range(4)):
        kernel = torch.tensor([float(i < k) for i in range(2)])
        width = torch.tensor([1.0] + [float(i < w) for i in range(3)])
        assert float(single_path_runtime_ms(kernel, width, ms)) == pytest.approx(float(ms[k, w]))
    assert float(single_path_runtime_ms(kernel, torch.zeros(4), ms, skip_ms=0.25)) == 0.25


def test_runtime_gradient_is_autograds_of_the_formula() -> None:
    d5 = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    width = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    ms = rows_ms(1)
    single_path_runtime_ms(d5, width, ms).backward()
    (_, r36), (r53, r56) = ms.tolist()
    rho = r36 / r56
    assert d5.grad is not None and width.grad is not None
    assert float(d5.grad) == pytest.approx((1 - rho) * r53)
    np.testing.assert_allclose(width.grad, [r53, r56 - r53])


def test_published_loss() -> None:
    latency = torch.tensor(80.0, requires_grad=True)
    loss = single_path_loss(torch.tensor(3.5), latency, 20.0)
    assert float(loss.detach()) == pytest.approx(3.5 + 20 * math.log(80))
    loss.backward()
    assert float(latency.grad) == pytest.approx(0.25)  # nats per ms of the released run, at 80 ms


# -- what the default mode cures


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


def test_every_candidate_is_equally_likely_at_the_start(space: LayerwiseSpace) -> None:
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


# -- the networks inside


def test_extracted_networks_give_the_superkernels_output(space: LayerwiseSpace) -> None:
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


def test_masks_pass_gradients_to_every_threshold(space: LayerwiseSpace) -> None:
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
