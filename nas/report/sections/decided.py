"""Whether a supernet's search has decided, in words, and layer by layer as a part of a run's page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from scipy.special import entr

from nas.report import bars


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


def decided(result: Mapping[str, Any], theta: Mapping[str, Any] | None) -> str:
    """A row for each choice: the likeliest, the next, entropy, and whether it is decided. Empty for other methods.

    `theta`: the probabilities that the search left, as `nas.derive.handover.read_theta` gives them.
    """
    said = sentence(result)
    if not said or theta is None:
        return ""
    open_, at = set(result["undecided_positions"]), result["decided_at"]
    taken = result["genotype"] or [None] * len(theta["positions"])
    rows = [
        _row(position, gene, position["name"] in open_, at)
        for position, gene in zip(theta["positions"], taken, strict=True)
    ]
    kind = "good" if result["decided"] else "poor"
    note = (
        f"<p><span class='verdict {kind}'>Decided: {escape(said)}.</span> What is left open was settled by the budget "
        f"and by small differences: another seed may well take something else. {_chance(theta)}</p>"
    )
    head = "<th>choice</th><th>likeliest</th><th class='n'>P</th><th>next</th><th class='n'>P</th>"
    head += "<th class='n'>entropy</th><td></td><th>so it is</th>"
    table = f"<table><tr>{head}</tr>{''.join(rows)}</table>"
    return f"<h2>Decided or not</h2>{note}<div class='panel' tabindex='0'>{table}</div>"


def _chance(theta: Mapping[str, Any]) -> str:
    """What the likeliest choices would have where nothing was learned, for comparison."""
    counts = [len(position["labels"]) for position in theta["positions"] if len(position["labels"]) > 1]
    if not counts:
        return ""
    return f"Drawn by lot, a choice would have {100 * sum(1 / n for n in counts) / len(counts):.0f}%."


def _row(position: Mapping[str, Any], taken: int | None, is_open: bool, at: float) -> str:
    labels, shares = position["labels"], np.array(position["probabilities"])
    order = np.argsort(-shares, kind="stable")
    first = int(order[0])
    second = int(order[1]) if len(order) > 1 else None
    entropy = float(entr(shares).sum() / np.log(len(shares))) if len(shares) > 1 else 0.0
    # below the bar and yet not open: it decides nothing in the likeliest network
    word = "open" if is_open else "decided" if shares[first] >= at else "without effect"
    next_cells = (
        "<td></td><td></td>"
        if second is None
        else f"<td>{escape(labels[second])}</td><td class='n'>{100 * shares[second]:.0f}%</td>"
    )
    other = "" if taken is None or taken == first else f"{escape(labels[taken])}, {100 * shares[taken]:.0f}%"
    bar = bars.share_bar(list(zip(labels, shares.tolist(), strict=True)), first)
    return (
        f"<tr><td>{escape(position['name'])}</td><td><b>{escape(labels[first])}</b></td>"
        f"<td class='n'>{100 * shares[first]:.0f}%</td>{next_cells}<td class='n'>{entropy:.2f}</td>"
        f"<td class='wide'>{bar}</td><td>{word if not other else f'{word}; taken: {other}'}</td></tr>"
    )
