"""Choices as tables of their distinct values: the same values as asked gene by gene, numbered as they first come."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from search_spaces.choices import Chain, Choice, combine, constant
from search_spaces.pricing.tabulated import Tabulated, applied, of_results


def values(choice: Choice, sizes: list[int]) -> list[object]:
    """The value at every combination of the genes of its variables, the last moving fastest."""
    return [
        choice.value(dict(zip(choice.variables, genes, strict=True)))
        for genes in itertools.product(*(range(sizes[v]) for v in choice.variables))
    ]


@pytest.mark.parametrize("seed", range(5))
def test_tables_hold_what_the_function_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chain = Chain("any", (16, 24), 3)
    sizes = [2, *rng.integers(2, 5, size=3).tolist()]
    options = [chain.choice(f"v{i}", rng.permutation(6)[:size].tolist()) for i, size in enumerate(sizes[1:])]
    both = combine(lambda a, b: (a + b) % 3, options[2], options[0])  # variables out of order
    all_of_them = combine(lambda a, b, c, d: (a, max(b, c), d), both, options[1], options[0], constant("x"))
    for choice in (both, all_of_them, constant(7), combine(lambda: 3)):
        table = choice.table
        assert table.numbers.shape == tuple(sizes[v] for v in choice.variables)
        assert [table.values[i] for i in table.numbers.flat] == values(choice, sizes)
        assert len(set(table.values)) == len(table.values)
        firsts = [int(np.argmax(table.numbers.reshape(-1) == i)) for i in range(len(table.values))]
        assert firsts == sorted(firsts)


def test_a_function_is_called_once_for_each_combination_of_values() -> None:
    calls: list[tuple[int, int]] = []
    chain = Chain("any", (16,), 3)
    a, b = (combine(lambda n: n // 4, chain.choice(name, range(8))) for name in "ab")
    table = combine(lambda x, y: calls.append((x, y)) or x, a, b).table
    assert sorted(calls) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert table.values == (0, 1)


def test_numbers_of_two_types_and_values_without_a_hash_stay_themselves() -> None:
    mixed = applied(lambda n: [1, 1.0, [1], [1]][n], [((0,), Tabulated(tuple(range(4)), np.arange(4)))], (0,))
    assert [type(value) for value in mixed.values] == [int, float, list, list]


def test_what_has_no_value_is_left_out() -> None:
    table = of_results(["a", "c", "b", "a"], (2, 2))
    assert table.values == ("a", "c", "b")
    assert table.numbers.tolist() == [[0, 1], [2, 0]]
    kept = table.where(np.array([[False, False], [True, True]]))
    assert kept.values == ("b", "a")
    assert kept.numbers.tolist() == [[-1, -1], [0, 1]]
