"""How a supernet's search ended: how far it had decided, and how much of its allowance it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.derive.most_probable import Rows
from nas.methods.base import SearchResult, SupernetMethod
from nas.methods.supernets.decision import Deciding, Decision
from search_spaces.space import Genotype, SearchSpace


@dataclass(frozen=True)
class Ending:
    """`decision` over the choices called `names`, whose `probabilities` the search left, after `epochs` of `allowed`.

    `by_thresholds`: the network is the one that thresholds without noise name, which are always decided.
    """

    names: tuple[str, ...]
    probabilities: Rows
    decision: Decision
    epochs: int
    allowed: int
    by_thresholds: bool = False

    @classmethod
    def of(cls, space: SearchSpace, method: SupernetMethod, found: SearchResult, mode: str) -> Ending:
        """Of what `method` found in `space`; `mode`: how networks are derived from it."""
        decision = Deciding(space, method.decided_at).of(found.probabilities)
        names = tuple(variable.name for variable in space.variables)
        epochs = method.epochs if found.epochs is None else found.epochs
        return cls(names, found.probabilities, decision, epochs, method.epochs, mode == "thresholds")

    def figures(self, taken: Genotype) -> dict[str, Any]:
        """Its entries of `result.json`, for the network of genotype `taken`.

        `mean_taken_probability`: of the choices of that network, over the same variables as `mean_top_probability`; the
        budget may take others than the likeliest.
        """
        decision = self.decision
        counted = [v for v, top in enumerate(decision.tops) if top is not None]
        return {
            "decided": self.by_thresholds or decision.is_made,
            "decided_by": "thresholds" if self.by_thresholds else "probabilities",
            "decided_at": decision.at,
            "mean_top_probability": round(decision.mean_top_probability, 6),
            "mean_taken_probability": round(_mean([float(self.probabilities[v][taken[v]]) for v in counted]), 6),
            "entropy": round(decision.entropy, 6),
            "choices_to_decide": len(counted),
            "undecided_positions": [self.names[v] for v in decision.open],
            "search_epochs": self.epochs,
            "search_epochs_allowed": self.allowed,
        }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 1.0
