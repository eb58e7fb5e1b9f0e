"""What came of a contest: who was compared where, who stayed, and the order of all."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.search.contest.entrants import Entrant
from nas.search.contest.plan import Plan

Figures = Mapping[str, Any]  # top1_percent, right_class_percent, loss, train_seconds; of a training that failed: error
TOP_1, RIGHT_CLASS = "top1_percent", "right_class_percent"  # what networks are compared by


@dataclass(frozen=True)
class Rung:
    """The networks compared after `epochs` epochs by the figure `by`, best first; the first `kept` stayed."""

    epochs: int
    entrants: tuple[Entrant, ...]
    figures: tuple[Figures, ...]
    kept: int
    by: str = TOP_1


@dataclass(frozen=True)
class Standings:
    """All `rungs` of a contest by `plan`, and the `order` of all networks: the last one standing first.

    `score_is`: what the search chose them by, in words.
    """

    plan: Plan
    rungs: tuple[Rung, ...]
    order: tuple[Entrant, ...]
    score_is: str

    @property
    def winner(self) -> Entrant:
        return self.order[0]

    @property
    def best(self) -> Entrant:
        """The best network of the search, which its run hands on; the winner where only references took part."""
        return self.found[0] if self.found else self.winner

    def reached(self, entrant: Entrant) -> int | None:
        """The last rung up to which `entrant` was trained; None where its first training failed."""
        there = [
            number
            for number, rung in enumerate(self.rungs)
            for one, figures in zip(rung.entrants, rung.figures, strict=True)
            if one is entrant and "error" not in figures
        ]
        return there[-1] if there else None

    @property
    def found(self) -> tuple[Entrant, ...]:
        """Those of the search, in the order of the contest."""
        return tuple(entrant for entrant in self.order if entrant.is_found)

    @property
    def train_seconds(self) -> float:
        """What the trainings took up to where each was cut, together."""
        took: dict[str, float] = {}
        for rung in self.rungs:
            for entrant, figures in zip(rung.entrants, rung.figures, strict=True):
                took[entrant.key] = figures.get("train_seconds", took.get(entrant.key, 0.0))
        return sum(took.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for files: names, genotypes and figures."""
        last: dict[str, dict[str, Any]] = {}
        rungs = []
        for rung in self.rungs:
            rows = []
            for place, (entrant, figures) in enumerate(zip(rung.entrants, rung.figures, strict=True)):
                row = {
                    "name": entrant.name,
                    "validation_top1_percent": figures.get(TOP_1),
                    "right_class_percent": figures.get(RIGHT_CLASS),
                    "loss": figures.get("loss"),
                    "kept": place < rung.kept,
                }
                rows.append(row)
                last[entrant.key] = {"epochs": rung.epochs, "validation_top1_percent": row["validation_top1_percent"]}
            rungs.append({"epochs": rung.epochs, "by": rung.by, "networks": rows})
        networks = [
            {
                "name": entrant.name,
                "arch": entrant.arch.id,
                "genotype": None if entrant.genotype is None else list(entrant.genotype),
                "score": entrant.score,
                **last[entrant.key],
            }
            for entrant in self.order
        ]
        return {
            "plan": {**dataclasses.asdict(self.plan), "total_epochs": self.plan.total_epochs},
            "networks": networks,
            "rungs": rungs,
            "winner": self.winner.name,
            "score_is": self.score_is,
            "train_seconds": self.train_seconds,
        }


def rank(alive: Sequence[Entrant], figures: Mapping[str, Figures], by: str = TOP_1) -> list[Entrant]:
    """`alive`, best first: the higher figure `by`, then lower loss, then who stood in front; failed trainings last."""

    def worth(entrant: Entrant) -> tuple[float, float]:
        known = figures[entrant.key]
        loss = known.get("loss")
        return (-known.get(by, -math.inf), math.inf if loss is None else loss)

    return sorted(alive, key=worth)


def sentence(contest: Mapping[str, Any]) -> str:
    """What came of a contest in one line, from its record."""
    first = contest["rungs"][0]
    shown = [n["validation_top1_percent"] for n in first["networks"] if n["validation_top1_percent"] is not None]
    rung = contest["rungs"][-1]
    last = rung["networks"][0]
    decided = ""
    if rung.get("by") == RIGHT_CLASS:
        decided = f", and {last[RIGHT_CLASS]:.2f}% of the probability for their right classes, which decided,"
    return (
        f"{contest['winner']} of {len(contest['networks'])} is left: {last['validation_top1_percent']:.2f}% of the "
        f"validation images{decided} after {rung['epochs']} epochs; after {first['epochs']} they had "
        f"{min(shown):.2f} to {max(shown):.2f}%"
    )
