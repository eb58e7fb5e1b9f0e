"""Whether a supernet's search has decided, in words, and layer by layer as a part of a run's page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import entr

from nas.report import bars
from nas.report.parts import Cell, Line, Section, Table, numeric


@dataclass(frozen=True)
class Decided(Section):
    """How the search ended, and a row for each choice. `by_lot`: % that a choice has on average where nothing was
    learned; None without choices."""

    is_decided: bool
    sentence: str
    by_lot: float | None
    table: Table

    heading, template = "Decided or not", "decided.html"


def sentence(result: Mapping[str, Any]) -> str:
    """How the search ended, from `result.json`; empty where it has nothing to decide or says nothing of it."""
    if result.get("decided") is None:
        return ""
    if result.get("decided_by") == "thresholds":
        return "yes, by thresholds that have no noise: they name one network at any time"
    done, allowed = result["search_epochs"], result["search_epochs_allowed"]
    open_, count = len(result["undecided_positions"]), result["choices_to_decide"]
    after = f"after {done} of {allowed} epochs" if done < allowed else f"its allowance of {allowed} epochs is spent"
    return (
        f"{'yes' if result['decided'] else 'NO'}, {after}: the likeliest choices have probability "
        f"{result['mean_top_probability']:.2f} on average (decided from {result['decided_at']:.2g} on), those taken "
        f"{result['mean_taken_probability']:.2f}; entropy {result['entropy']:.2f} of 1; {open_} of {count} left open"
    )


def decided(result: Mapping[str, Any], theta: Mapping[str, Any] | None) -> Decided | None:
    """A row for each choice: the likeliest, the next, entropy, and whether it is decided. None for other methods.

    `theta`: the probabilities that the search left, as `nas.derive.handover.read_theta` gives them.
    """
    said = sentence(result)
    if not said or theta is None:
        return None
    open_, at = set(result["undecided_positions"]), result["decided_at"]
    taken = result["genotype"] or [None] * len(theta["positions"])
    lines = [
        _line(position, gene, position["name"] in open_, at)
        for position, gene in zip(theta["positions"], taken, strict=True)
    ]
    head = [Cell("choice"), Cell("likeliest"), numeric("P"), Cell("next"), numeric("P"), numeric("entropy"), Cell("")]
    return Decided(bool(result["decided"]), said, _by_lot(theta), Table([*head, Cell("so it is")], lines))


def _by_lot(theta: Mapping[str, Any]) -> float | None:
    counts = [len(position["labels"]) for position in theta["positions"] if len(position["labels"]) > 1]
    return 100 * sum(1 / n for n in counts) / len(counts) if counts else None


def _line(position: Mapping[str, Any], taken: int | None, is_open: bool, at: float) -> Line:
    labels, shares = position["labels"], np.array(position["probabilities"])
    order = np.argsort(-shares, kind="stable")
    first = int(order[0])
    entropy = float(entr(shares).sum() / np.log(len(shares))) if len(shares) > 1 else 0.0
    # below the bar and yet not open: it decides nothing in the likeliest network
    word = "open" if is_open else "decided" if shares[first] >= at else "without effect"
    if taken is not None and taken != first:
        word = f"{word}; taken: {labels[taken]}, {100 * shares[taken]:.0f}%"
    following = [Cell(""), Cell("")]
    if len(order) > 1:
        following = [Cell(labels[order[1]]), numeric(f"{100 * shares[order[1]]:.0f}%")]
    bar = bars.share_bar(list(zip(labels, shares.tolist(), strict=True)), first)
    likeliest = [Cell(position["name"]), Cell(labels[first], strong=True), numeric(f"{100 * shares[first]:.0f}%")]
    return Line([*likeliest, *following, numeric(f"{entropy:.2f}"), Cell(bar, "wide"), Cell(word)])
