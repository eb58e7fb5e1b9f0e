"""Whether a search has decided: how probable its likeliest choices are, and how much of their entropy is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_spaces.space import SearchSpace
from search_spaces.wrappers.silent import SilentGenes

DECIDED_AT = 0.8
"""The mean top probability from which on a search counts as decided, where it has no rule of its own."""

Rows = Sequence[NDArray[np.float64]]


@dataclass(frozen=True)
class Decision:
    """How far the choices of a search are decided; None for a variable in which there is nothing to decide.

    `tops[v]`: probability of the likeliest choice of variable v; `entropies[v]`: `-sum_k p_k ln p_k / ln n` of its n
    choices, 0 (one is certain) to 1 (all are equally likely). `at`: the mean top probability that counts as decided.
    """

    tops: tuple[float | None, ...]
    entropies: tuple[float | None, ...]
    at: float = DECIDED_AT

    @property
    def mean_top_probability(self) -> float:
        """Over the variables that have something to decide; 1 where none has."""
        tops = [top for top in self.tops if top is not None]
        return float(np.mean(tops)) if tops else 1.0

    @property
    def entropy(self) -> float:
        """The mean of `entropies`; 0 where nothing is to be decided."""
        entropies = [entropy for entropy in self.entropies if entropy is not None]
        return float(np.mean(entropies)) if entropies else 0.0

    @property
    def is_made(self) -> bool:
        """Whether the mean top probability has reached `at`."""
        return self.mean_top_probability >= self.at

    @property
    def open(self) -> tuple[int, ...]:
        """The variables whose likeliest choice is less probable than `at`."""
        return tuple(v for v, top in enumerate(self.tops) if top is not None and top < self.at)


class Deciding:
    """The decision of a search of `space` at any time. `at`: see `Decision`; None: `DECIDED_AT`."""

    def __init__(self, space: SearchSpace, at: float | None = None) -> None:
        self.at = DECIDED_AT if at is None else at
        self._choices = [len(variable) for variable in space.variables]
        self._silent = SilentGenes(space)

    def of(self, probabilities: Rows) -> Decision:
        """How far `probabilities` decide, `probabilities[v]`: (choices of v,), of sum 1.

        Left out are variables of one choice, and those that decide nothing in the likeliest network, such as the
        expansion of a block that its depth leaves out: nothing teaches them, and nothing hangs on them.
        """
        likeliest = np.array([[int(row.argmax()) for row in probabilities]])
        silent = self._silent.mask(likeliest)[0]
        counted = [n > 1 and not hidden for n, hidden in zip(self._choices, silent, strict=True)]
        rows = list(zip(counted, probabilities, strict=True))
        return Decision(
            tuple(float(row.max()) if counts else None for counts, row in rows),
            tuple(normalised_entropy(row) if counts else None for counts, row in rows),
            self.at,
        )


def normalised_entropy(probabilities: NDArray[np.float64]) -> float:
    """`-sum_k p_k ln p_k / ln n` of `probabilities` (n,), n > 1: 0 where one is certain, 1 where all are equal."""
    from scipy.special import entr  # here: settings of methods are read before anything is computed

    return float(entr(probabilities).sum() / np.log(len(probabilities)))
