"""Functions of a few genes as what they are: their distinct values, and which of them each combination of genes has.

Choices about widths, depths and blocks of neighbouring stages have tens of thousands of combinations and a few hundred
results. Whatever is computed of each result (a price, a digest) is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


class Tabulated(NamedTuple):
    """`values[numbers[g]]` is the value at genes g; `values` are numbered as they first come; the number -1 is none.

    `numbers` has one axis per variable, of as many entries as it has choices.
    """

    values: tuple[Any, ...]
    numbers: Numbers

    def where(self, known: NDArray[np.bool_]) -> Tabulated:
        """The same function where `known` (the shape of `numbers`) holds, without a value elsewhere."""
        return self if known.all() else _compact(self.values, np.where(known, self.numbers, -1))


def of_options(options: Sequence[Any]) -> Tabulated:
    """The function from the gene of one variable to its option."""
    return Tabulated(tuple(options), np.arange(len(options)))


def of_results(results: Iterable[Any], sizes: Sequence[int]) -> Tabulated:
    """The function whose `results`, hashable, are listed with the last variable moving fastest."""
    values: dict[Any, int] = {}
    index = [values.setdefault(result, len(values)) for result in results]
    return Tabulated(tuple(values), np.array(index, dtype=np.int64).reshape(sizes))


def applied(
    function: Callable[..., Any], tables: Sequence[tuple[Sequence[int], Tabulated]], variables: Sequence[int]
) -> Tabulated:
    """`function` of the values of `tables`, each with its own variables: a function of all `variables`.

    It is called once for each distinct combination of values.
    """
    code: Numbers = np.zeros((1,) * len(variables), dtype=np.int64)
    sizes = [1] * len(variables)
    for own, table in tables:
        axes = [variables.index(v) for v in own]
        for axis, size in zip(axes, table.numbers.shape, strict=True):
            sizes[axis] = size
        order = np.argsort(axes)
        spread = table.numbers.transpose(order).reshape([sizes[a] if a in axes else 1 for a in range(len(variables))])
        code = code * len(table.values) + spread
    code = np.broadcast_to(code, sizes)
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    counts = [len(table.values) for _, table in tables]
    places = np.unravel_index(code.reshape(-1)[np.sort(first)], counts) if counts else ()
    columns = [[table.values[i] for i in place] for place, (_, table) in zip(places, tables, strict=True)]
    results = [function(*arguments) for arguments in zip(*columns, strict=True)] if tables else [function()]
    rank = np.argsort(np.argsort(first))
    return _merged(results, rank[inverse].reshape(sizes))


def _merged(results: Sequence[Any], index: Numbers) -> Tabulated:
    """`results[index]` with equal results of one type made one."""
    known: dict[Any, int] = {}
    number = []
    for i, result in enumerate(results):
        try:
            number.append(known.setdefault((type(result), result), len(known)))
        except TypeError:  # not hashable
            number.append(known.setdefault((None, i), len(known)))
    values: list[Any] = [None] * len(known)
    for result, place in reversed(list(zip(results, number, strict=True))):
        values[place] = result
    return Tabulated(tuple(values), np.array(number, dtype=np.int64)[index])


def _compact(values: Sequence[Any], index: Numbers) -> Tabulated:
    """`values[index]` without the values that it does not take, numbered as they first come."""
    taken, first = np.unique(index, return_index=True)
    order = [int(number) for number in taken[np.argsort(first)] if number >= 0]
    renumbered = np.full(len(values) + 1, -1)
    renumbered[order] = np.arange(len(order))
    return Tabulated(tuple(values[number] for number in order), renumbered[index])
