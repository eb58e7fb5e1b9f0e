"""What a stored trial must look like, so that a damaged one is refused instead of believed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from search_spaces.plain_data.identity import digest
from search_spaces.space import Genotype

COUNTS = {"round": 0, "place": 0, "count": 1, "attempt": 1}  # whole numbers of a trial, and the least of each


def trial_digest(candidate: str, genotype: Genotype, score: float, figures: dict[str, Any]) -> str:
    """What is kept beside a finished trial, so that a changed score or figure is noticed."""
    return digest([candidate, list(genotype), float(score), figures])


def check_trial(trial: FrozenTrial, sizes: Sequence[int]) -> None:
    """Raise `ValueError` where `trial` is none of ours; `sizes`: how many choices each gene has."""
    known, what = trial.user_attrs, f"trial {trial.number}"
    for key, least in COUNTS.items():
        value = known.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{what} has {key} {value!r}")
    if not isinstance(known.get("candidate"), str):
        raise ValueError(f"{what} names its candidate {known.get('candidate')!r}")
    check_genotype(what, known.get("genotype"), sizes)
    if trial.state == TrialState.COMPLETE:
        figures = known.get("figures")
        check_score(what, trial.value)
        check_figures(what, figures)
        if known.get("digest") != trial_digest(
            known["candidate"], known["genotype"], trial.value or 0.0, figures or {}
        ):
            raise ValueError(f"{what} does not have the score and figures it was stored with")


def check_genotype(what: str, genotype: Any, sizes: Sequence[int]) -> None:
    """Refuse what is not a list of genes within their ranges."""
    if not isinstance(genotype, list) or len(genotype) != len(sizes):
        raise ValueError(f"{what} has genotype {str(genotype)[:60]}, not a list of {len(sizes)} genes")
    for gene, size in zip(genotype, sizes, strict=True):
        if not isinstance(gene, int) or isinstance(gene, bool) or not 0 <= gene < size:
            raise ValueError(f"{what} has a gene {gene!r} where 0..{size - 1} are")


def check_score(what: str, score: Any) -> None:
    """Refuse what is not a percentage."""
    if not _is_number(score) or not 0 <= score <= 100:
        raise ValueError(f"{what} has score {score!r}, which is not a percentage")


def check_figures(what: str, figures: Any) -> None:
    """Refuse figures that are no numbers (None: not finite) or truths, and a curve that is not of percentages."""
    if not isinstance(figures, dict):
        raise ValueError(f"{what} has figures {figures!r}")
    for name, value in figures.items():
        if name == "curve":
            if not isinstance(value, list) or not value:
                raise ValueError(f"{what} has a curve {value!r}")
            for entry in value:
                check_score(f"{what}'s curve", entry)
        elif value is not None and not isinstance(value, bool) and not _is_number(value):
            raise ValueError(f"{what} has {name} {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
