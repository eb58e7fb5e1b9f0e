"""Encodings: hand-written rows, gather against the definition, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.encoding import Encoding, scale
from search_spaces.families.fbnet import fbnet
from search_spaces.space import Variable

KERNEL = Variable("kernel", (3, 5, 7), ordered=True)
BLOCK = Variable("block", ("a", "b", "c"))
LR = Variable("lr", (0.001, 0.01, 0.1), ordered=True)


def test_hand_written_row() -> None:
    encoding = Encoding([KERNEL, BLOCK, LR])
    assert encoding.width == 5
    np.testing.assert_allclose(
        encoding.encode(np.array([[1, 2, 1], [2, 0, 0]])), [[0.5, 0, 0, 1, 0.5], [1, 1, 0, 0, 0]]
    )


def test_wide_positive_choices_are_scaled_by_their_logarithm() -> None:
    np.testing.assert_allclose(scale(LR), [0, 0.5, 1])
    np.testing.assert_allclose(scale(Variable("epochs", (10, 20, 40), ordered=True)), [0, 1 / 3, 1])
    np.testing.assert_allclose(scale(Variable("drop", (0.0, 0.3, 0.6), ordered=True)), [0, 0.5, 1])


@pytest.mark.parametrize(
    "variable", [BLOCK, Variable("n", ("s", "m"), ordered=True), Variable("b", (True, False), True)]
)
def test_what_has_no_scale(variable: Variable) -> None:
    assert scale(variable) is None


@pytest.mark.parametrize(("ordered", "width"), [("scaled", 5), ("onehot", 9), ("both", 11)])
def test_gather_equals_its_tables(ordered: str, width: int) -> None:
    encoding = Encoding([KERNEL, BLOCK, Variable("one", ("x",)), LR], ordered)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    population = rng.integers(0, [3, 3, 1, 3], (50, 4))
    by_row = [np.concatenate([t[g] for t, g in zip(encoding.tables, row, strict=True)]) for row in population]
    np.testing.assert_array_equal(encoding.encode(population), np.stack(by_row))
    assert encoding.width == width == len(encoding.owner)


def test_one_hot_of_a_space_tells_every_genotype_apart() -> None:
    space = fbnet(32)
    population = space.sample(500, np.random.default_rng(1))
    encoded = Encoding(space.variables).encode(population)
    assert encoded.shape == (500, sum(len(v) for v in space.variables))
    assert (encoded.sum(axis=1) == len(space.variables)).all()
    assert len(np.unique(encoded, axis=0)) == len(np.unique(population, axis=0))


def test_refusals_name_value_and_law() -> None:
    encoding = Encoding([KERNEL, BLOCK])
    with pytest.raises(ValueError, match=r"block has choices 0\.\.2, got 3"):
        encoding.encode(np.array([[0, 3]]))
    with pytest.raises(ValueError, match=r"kernel has choices 0\.\.2, got -1"):
        encoding.encode(np.array([[-1, 0]]))
    with pytest.raises(ValueError, match=r"\(n, 2\)"):
        encoding.encode(np.array([[0, 0, 0]]))
    with pytest.raises(ValueError, match="whole numbers"):
        encoding.encode(np.array([[0.0, 1.0]]))
    with pytest.raises(ValueError, match="'log'"):
        Encoding([KERNEL], "log")  # type: ignore[arg-type]
