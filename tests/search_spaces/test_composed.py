"""Spaces written as terms: decoding, encoding, exact cheapest and most expensive networks, pricing."""

import itertools

import numpy as np
import pytest

from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, Layer
from search_spaces.composed import ComposedSpace
from search_spaces.costs import Shape
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.space import Genotype, Term, Variable
from search_spaces.wrappers.silent import SilentGenes

RESOLUTIONS, WIDTHS, DEPTHS, KERNELS = (16, 24), (8, 16, 24), (1, 2), (3, 5)


def tiny() -> ComposedSpace:
    """Resolution, two stage widths, kernel and depth of one stage: 2 * 3 * 3 * 2 * 2 = 72 genotypes."""
    variables = [
        Variable("resolution", RESOLUTIONS, ordered=True),
        Variable("stem", WIDTHS, ordered=True),
        Variable("width", WIDTHS, ordered=True),
        Variable("kernel", KERNELS, ordered=True),
        Variable("depth", DEPTHS, ordered=True),
    ]

    def half(gene: int) -> int:
        return RESOLUTIONS[gene] // 2

    terms = [
        Term(0, (0, 1), lambda g: (ConvBNAct(WIDTHS[g[1]], 3, 2),), lambda g: Shape(3, *(RESOLUTIONS[g[0]],) * 2)),
        Term(
            1,
            (0, 1, 2, 3),
            lambda g: (InvertedResidual(WIDTHS[g[2]], KERNELS[g[3]], 1, 3),),
            lambda g: Shape(WIDTHS[g[1]], half(g[0]), half(g[0])),
        ),
        Term(
            1,
            (0, 2, 3, 4),
            lambda g: (InvertedResidual(WIDTHS[g[1]], KERNELS[g[2]], 1, 3),) * (DEPTHS[g[3]] - 1),
            lambda g: Shape(WIDTHS[g[1]], half(g[0]), half(g[0])),
        ),
        Term(2, (0, 2), lambda g: (ConvBNAct(32),), lambda g: Shape(WIDTHS[g[1]], half(g[0]), half(g[0]))),
        Term(2, (0,), lambda g: (Classifier(10),), lambda g: Shape(32, half(g[0]), half(g[0]))),
    ]
    return ComposedSpace("tiny", variables, terms, lambda genotype: RESOLUTIONS[genotype[0]])


def with_own_kernels() -> ComposedSpace:
    """A stage of 1 or 2 blocks, each with a kernel of its own: the second's says nothing where it is not there."""
    variables = [
        Variable("depth", DEPTHS, ordered=True),
        Variable("kernel.0", KERNELS, ordered=True),
        Variable("kernel.1", KERNELS, ordered=True),
    ]
    shape = Shape(8, 8, 8)

    def second(genes: Genotype) -> tuple[Layer, ...]:
        return (InvertedResidual(8, KERNELS[genes[1]], 1, 3),) * genes[0]

    terms = [
        Term(0, (), lambda g: (ConvBNAct(8, 3, 2),), lambda g: Shape(3, 16, 16)),
        Term(1, (1,), lambda g: (InvertedResidual(8, KERNELS[g[0]], 1, 3),), lambda g: shape),
        Term(1, (0, 2), second, lambda g: shape),
        Term(2, (), lambda g: (Classifier(10),), lambda g: shape),
    ]
    return ComposedSpace("own_kernels", variables, terms, lambda genotype: 16)


def test_genes_of_blocks_that_are_not_there_are_silent() -> None:
    space = with_own_kernels()
    population, silent = everything(space), SilentGenes(space)
    assert silent.possible
    for genotype, mask, blanked in zip(population, silent.mask(population), silent.blank(population), strict=True):
        assert mask.tolist() == [False, False, genotype[0] == 0]
        assert blanked.tolist() == [*genotype[:2], genotype[2] if genotype[0] else 0]
        assert space.decode(blanked) == space.decode(genotype)
    assert not SilentGenes(tiny()).possible
    more = np.array([[0, 1, 1, 7]])  # a recipe's gene behind them
    assert silent.blank(more).tolist() == [[0, 1, 0, 7]]


def everything(space: ComposedSpace) -> np.ndarray:
    return np.array(list(itertools.product(*(range(n) for n in space.cardinalities))))


def test_costs_equal_the_folds_over_the_archs() -> None:
    space = tiny()
    population = everything(space)
    assert len(population) == space.size == 72
    for index in range(3):
        cost = space.cost(lambda layer, shape, index=index: layer.cost(shape)[index])
        expected = np.array([space.decode(g).cost[index] for g in population])
        np.testing.assert_array_equal(cost(population), expected)
        assert cost.reachable() == (expected.min(), expected.max())


def test_encode_finds_every_arch_and_table_entries_cover_them() -> None:
    space = tiny()
    entries = list(space.table_entries())
    assert len(entries) == len(set(entries))
    walked = set()
    for genotype in everything(space).tolist():
        arch = space.decode(genotype)
        assert space.decode(space.encode(arch)) == arch
        assert space.encode(arch) == tuple(genotype)
        walked |= set(arch.walk())
    assert walked == set(entries)


def test_a_foreign_arch_is_refused_with_how_far_it_fits() -> None:
    space = tiny()
    arch = space.decode((0, 0, 0, 0, 0))
    with pytest.raises(ValueError, match="not in tiny"):
        space.encode(arch.with_classes(7))
    other = ComposedSpace("other", space.variables, space.terms, lambda genotype: 20)
    with pytest.raises(ValueError, match="not in other"):
        other.encode(arch)


def test_terms_out_of_order_and_repeated_names_are_refused() -> None:
    space = tiny()
    with pytest.raises(ValueError, match="order of their stages"):
        ComposedSpace("bad", space.variables, space.terms[::-1], lambda genotype: 16)
    with pytest.raises(ValueError, match="two variables are called 'stem'"):
        ComposedSpace("bad", [*space.variables, Variable("stem", (1,))], space.terms, lambda genotype: 16)


@pytest.mark.parametrize("seed", range(20))
def test_cheapest_and_most_expensive_are_exact_on_random_structures(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cardinalities = tuple(int(n) for n in rng.integers(1, 5, size=6))
    scopes = [tuple(rng.choice(6, size=rng.integers(1, 4), replace=False).tolist()) for _ in range(7)]
    tables = tuple(rng.normal(size=[cardinalities[v] for v in scope]) for scope in scopes)
    cost = AdditiveCost(1.5, tuple(scopes), tables, cardinalities)
    population = np.array(list(itertools.product(*(range(n) for n in cardinalities))))
    expected = 1.5 + sum(
        table[tuple(population[:, v] for v in scope)] for scope, table in zip(scopes, tables, strict=True)
    )
    np.testing.assert_allclose(cost(population), expected, rtol=1e-12)
    assert cost.reachable() == pytest.approx((expected.min(), expected.max()))


def test_rows_exist_only_where_every_gene_is_priced_alone() -> None:
    with pytest.raises(ValueError, match="several choices together"):
        _ = tiny().cost(lambda layer, shape: 1.0).rows
