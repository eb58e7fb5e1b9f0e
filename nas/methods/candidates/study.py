"""What a study of trained candidates depends on: everything their scores do, and everything their choice does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nas.methods.candidates.scorers.base import Scorer
from search_spaces.arch import own_code
from search_spaces.plain_data.identity import Identity, digest
from search_spaces.pricing.budgets import Feasible, as_typed
from search_spaces.space import Genotype, Population
from search_spaces.wrappers.joint import JointSpace


def study_identity(
    feasible: Feasible,
    method: object,
    scorer: Scorer,
    stop_correlation: float | None,
    first: Population | None = None,
) -> Identity:
    """The identity of the study in which `method` looks for candidates within the budgets of `feasible`.

    A score depends on the space and on what `scorer` says, such as data, recipe and code; which candidates were
    proposed, on the method, the budgets and the candidates that come `first` besides (which it names where there are
    any). How many are scored, in what rounds and where may change.
    """
    space = feasible.space
    assert isinstance(space, JointSpace)
    return {
        "space": space.name,
        "networks": space.architectures.fingerprint,
        **own_code(space.architectures.table_entries()),
        **scorer.identity(feasible),
        "stop_correlation": stop_correlation,
        "method": described(method),
        "budget": {limit.name: limit.limit for limit in feasible.limits},
        "costs": {limit.name: _cost_digest(limit.cost.tables, limit.cost.fixed) for limit in feasible.limits},
        **({} if first is None or not len(first) else {"first": digest(first.tolist())}),
    }


def check_candidates(feasible: Feasible, study: str, candidates: Sequence[tuple[str, Genotype]]) -> None:
    """Refuse candidates of `study` that are not what they are called, or that are not within the budgets here."""
    space = feasible.space
    assert isinstance(space, JointSpace)
    for candidate, genotype in candidates:
        if space.candidate_id(genotype) != candidate:
            raise ValueError(f"study {study!r} is damaged: genotype {list(genotype)} is not candidate {candidate}")
        costs = feasible.costs(np.array([genotype], dtype=np.int64))[0]
        for limit, cost in zip(feasible.limits, costs, strict=True):
            if not cost <= limit.limit:
                raise ValueError(
                    f"study {study!r} holds candidate {candidate} with {limit.name}={as_typed(cost)}, "
                    f"over the budget of {as_typed(limit.limit)}; name another search.study"
                )


def described(value: Any) -> Any:
    """The class and settings of a card's object, and of the objects in it, as plain data."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [described(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(key): described(entry) for key, entry in value.items()}
    if hasattr(value, "__qualname__"):  # a class or a function
        return f"{value.__module__}.{value.__qualname__}"
    if not hasattr(value, "__dict__"):  # numpy's numbers and arrays
        return described(value.tolist()) if hasattr(value, "tolist") else repr(value)
    name = described(type(value))
    return {"_target_": name, **{key: described(entry) for key, entry in vars(value).items()}}


def _cost_digest(tables: tuple[np.ndarray, ...], fixed: float) -> str:
    return digest([float(fixed).hex(), [[float(x).hex() for x in table.reshape(-1)] for table in tables]])
