"""What every search space promises, on random genotypes."""

import json
from functools import cache

import numpy as np
import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from nas.data.digits import digits
from nas.data.space import build_space
from nas.networks.network import build_network
from nas.terminal.configuration.composition import CONF
from search_spaces import Arch, LayerwiseSpace, SearchSpace
from search_spaces.blocks import Classifier, ConvBNAct, Skip
from search_spaces.costs import Count
from search_spaces.families.fbnet import fbnet
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.families.mobile.space import mobile
from search_spaces.families.mobilenetv2.space import mobilenetv2, mobilenetv2_layerwise
from search_spaces.families.rexnet.space import rexnet
from search_spaces.families.single_path import single_path
from search_spaces.pricing.additive import price
from search_spaces.recipe import Recipe
from search_spaces.recipe_space import recipe_space
from search_spaces.wrappers.joint import JointSpace
from tests.search_spaces.every_kind import every_kind

RECIPES = recipe_space(Recipe(epochs=1, batch_size=8, lr=0.1), lr=[0.1, 0.2])
SPACES = {
    "fbnet 224": lambda: fbnet(),
    "fbnet 96, width 0.35": lambda: fbnet(96, width=0.35),
    "fbnet 32": lambda: fbnet(32, 100, head_channels=1504),
    "fbnet 16, gray": lambda: fbnet(16, 10, in_channels=1, width=0.5),
    "fbnet 32, eight at shape changes": lambda: fbnet(32, skip_at_shape_change=False),
    "single_path 224": lambda: single_path(),
    "single_path 16, gray": lambda: single_path(16, 10, in_channels=1),
    "single_path 32, more choices": lambda: single_path(
        32, 10, kernels=(3, 5, 7), expansions=(2, 3, 4, 6), se_ratios=(0, 0.25)
    ),
    "fbnetv3 224": lambda: fbnetv3(),
    "fbnetv3 224 and more": lambda: fbnetv3(resolutions=(224, 248, 272), channels="released"),
    "fbnetv3 16, gray": lambda: fbnetv3(16, 10, in_channels=1),
    "mobilenetv2 224": lambda: mobilenetv2(resolutions=(96, 224)),
    "mobilenetv2 16, gray": lambda: mobilenetv2(16, 10, in_channels=1),
    "mobilenetv2_layerwise 224": lambda: mobilenetv2_layerwise(),
    "mobilenetv2_layerwise 16, gray": lambda: mobilenetv2_layerwise(16, 10, in_channels=1),
    "rexnet 224, linear": lambda: rexnet(resolutions=(192, 224)),
    "rexnet 16, linear, gray": lambda: rexnet(16, 10, in_channels=1),
    "rexnet 16, more choices": lambda: rexnet(
        16, 10, widths=(0.25, 0.5), firsts=(8, 16), depths=(1, 1.5), squeezes=("none", "late"), acts=("rexnet", "silu")
    ),
    "rexnet 32, piecewise": lambda: rexnet(32, 10, channels="piecewise"),
    "rexnet 32, free": lambda: rexnet(32, 10, channels="free", divisor=8),
    "rexnet 32, monotone": lambda: rexnet(32, 10, channels="monotone", divisor=8),
    "mobile 224": lambda: mobile(),
    "mobile 32": lambda: mobile(32, 10),
    "mobile 16, gray": lambda: mobile(16, 10, in_channels=1),
    "mobile 32, by block": lambda: mobile(32, 10, choose="block", acts=("relu", "mobilenetv3")),
    "every kind of a card": lambda: every_kind(16),
    "every kind of a card, 24x17": lambda: every_kind([24, 17], 7, 3),
    "fbnet 40x101, gray": lambda: fbnet([40, 101], 12, in_channels=1),
    "single_path 1x150, nine channels": lambda: single_path([1, 150], 6, in_channels=9),
    "fbnetv3 48x20 and 24x36": lambda: fbnetv3(resolutions=([48, 20], [24, 36], 32)),
    "rexnet 101x40": lambda: rexnet([101, 40], 12),
    "mobile 40x101": lambda: mobile([40, 101], 12),
    "fbnetv3 16 with recipes": lambda: JointSpace(fbnetv3(16, 10), RECIPES),
    "rexnet 32, monotone, with recipes": lambda: JointSpace(rexnet(32, 10, channels="monotone", divisor=8), RECIPES),
}


@cache
def made_once(name: str) -> SearchSpace:
    return SPACES[name]()


@pytest.fixture(params=SPACES)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return made_once(request.param)


def archs(space: SearchSpace, count: int) -> list[Arch]:
    return [space.decode(genotype) for genotype in space.sample(count, np.random.default_rng(0))]


def test_encode_inverts_decode(space: SearchSpace) -> None:
    """Where choices about absent blocks exist, several genotypes are one arch; `encode` gives one of them."""
    for genotype in space.sample(20, np.random.default_rng(1)):
        arch = space.decode(genotype)
        assert space.decode(space.encode(arch)) == arch
        if isinstance(space, LayerwiseSpace):
            assert space.encode(arch) == tuple(genotype)


def test_json_round_trip(space: SearchSpace) -> None:
    for arch in archs(space, 5):
        again = Arch.from_json(arch.to_json())
        assert again == arch
        assert again.id == arch.id
        assert json.loads(arch.to_json()) == arch.to_dict()


def test_arithmetic_equals_the_modules_own_count(space: SearchSpace) -> None:
    for arch in archs(space, 1):
        with torch.device("meta"):  # what is counted are shapes
            network = build_network(arch).eval()
            assert arch.params == sum(p.numel() for p in network.parameters())
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                out = network(torch.zeros(1, *arch.input_shape))
        assert out.shape == (1, arch.num_classes)
        assert arch.macs * 2 == counter.get_total_flops()


def test_prices_are_what_archs_cost(space: SearchSpace) -> None:
    population = space.sample(20, np.random.default_rng(2))
    counts: tuple[Count, ...] = ("params", "macs", "activations")
    costs = [space.decode(genotype).cost for genotype in population]
    for what in counts:
        expected = [getattr(each, what) for each in costs]
        cost = space.count(what)
        np.testing.assert_array_equal(cost(population), expected)
        low, high = cost.reachable()
        assert low <= min(expected) and max(expected) <= high
        assert low == getattr(space.decode(cost.cheapest()), what)
        assert high == getattr(space.decode(cost.most_expensive()), what)
        if isinstance(space, LayerwiseSpace):
            np.testing.assert_array_equal(price(population, cost.fixed, cost.rows), expected)


def test_table_entries_cover_every_arch_once(space: SearchSpace) -> None:
    entries = list(space.table_entries())
    assert len(entries) == len(set(entries))
    for arch in archs(space, 20):
        assert set(arch.walk()) <= set(entries)
    if isinstance(space, JointSpace):
        assert entries == list(space.architectures.table_entries())


def test_sampling_and_mutation_stay_in_the_space(space: SearchSpace) -> None:
    rng = np.random.default_rng(3)
    population = space.sample(500, rng)
    assert population.shape == (500, len(space.variables))
    everywhere = space.mutate(population, rng, rate=1.0)
    assert ((everywhere >= 0) & (everywhere < space.cardinalities)).all()
    assert (everywhere != population).all()
    assert (space.mutate(population, rng, rate=0.0) == population).all()
    # uniform: each choice of the first variable within five standard deviations of its expected count
    counts = np.bincount(space.sample(9000, rng)[:, 0], minlength=len(space.variables[0]))
    expected = 9000 / len(space.variables[0])
    assert (abs(counts - expected) < 5 * expected**0.5).all()


def test_bad_genotypes_are_named(space: SearchSpace) -> None:
    with pytest.raises(ValueError, match="genes, got 1"):
        space.decode([0])
    bad = [0] * len(space.variables)
    bad[2] = 99
    with pytest.raises(ValueError, match=r"has choices 0\.\.\d+, got 99"):
        space.decode(bad)


def test_archs_of_other_spaces_are_refused() -> None:
    with pytest.raises(ValueError, match="takes 3x224px images, fbnet has 3x32px"):
        fbnet(32).encode(fbnet().decode([0] * 22))
    with pytest.raises(ValueError, match="takes 3x40x32px images, fbnet has 3x32x40px"):
        fbnet([32, 40]).encode(fbnet([40, 32]).decode([0] * 22))
    with pytest.raises(ValueError, match="cannot be"):
        fbnet(32).encode(fbnet(32, width=0.5).decode([0] * 22))


def test_candidates_must_agree_on_the_output_shape() -> None:
    stem, head = [[ConvBNAct(8, 3)]], [[ConvBNAct(16)], [Classifier(10)]]
    with pytest.raises(ValueError, match=r"stage 1, layer 0: candidates 'skip' and 'conv3x3' disagree"):
        LayerwiseSpace("broken", 8, [stem, [[Skip(8), ConvBNAct(16, 3)]], head])
    with pytest.raises(ValueError, match="lists the same candidate twice"):
        LayerwiseSpace("broken", 8, [stem, [[Skip(8), Skip(8)]], head])


@pytest.mark.parametrize("card", sorted(path.stem for path in (CONF / "space").glob("*.yaml")))
def test_tables_of_small_images_are_small(card: str) -> None:
    """As shipped, every space's table on 16-pixel digits has fewer than 600 rows: a minute of measuring."""
    space = build_space(yaml.safe_load((CONF / "space" / f"{card}.yaml").read_text()), digits())
    assert 20 < len(list(space.table_entries())) < 600
    assert space.size > 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not an arch"),
        ('{"format": "nas.arch", "version": 99}', "version 99 cannot be read"),
        ('{"format": "nas.arch", "version": 1, "extra": 1}', "has no key 'extra'"),
        ('{"format": "nas.arch", "version": 1, "stages": 3}', "needs 'stages'"),
        (
            '{"format": "nas.arch", "version": 1, "resolution": 8, "stages": [[{"kind": "os.system"}]]}',
            "stage 0, layer 0: unknown layer kind 'os.system'",
        ),
        (
            '{"format": "nas.arch", "version": 1, "resolution": 8, '
            '"stages": [[{"kind": "skip", "out_channels": "8"}]]}',
            "out_channels must be a whole number, got '8'",
        ),
        (
            '{"format": "nas.arch", "version": 1, "resolution": 8, "stages": [[{"kind": "skip", "out_channels": 8}]]}',
            "a stem stage and a head stage",
        ),
    ],
)
def test_damaged_archs_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Arch.from_json(text)
