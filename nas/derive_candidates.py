"""Other budgets from a search that trained candidate by candidate: from its trials, and from a predictor of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nas import cards
from nas.candidate_search import read_trials
from nas.files import write_json, write_text
from nas.latency.device import Device
from nas.latency.measure import measure_arch_ms
from nas.latency.table import LatencyTable
from nas.methods.predictor import PredictorProposal
from nas.next_command import train_command
from nas.problem import count_limits, problem_of, resolve_budget
from nas.progress import log, phase, table
from search_spaces.additive import Floats
from search_spaces.budgets import Feasible, Limit, figure
from search_spaces.joint import JointSpace
from search_spaces.recipe import Recipe
from search_spaces.space import Population


def derive_candidates(folder: Path, config: dict[str, Any], asked: dict[str, Any]) -> None:
    """Write the `count` best networks within the asked budgets, with their recipes, and show them.

    A run with a predictor evolves candidates for the new budgets and ranks them, trained or not, by predicted score;
    another run offers the candidates it trained. Raises `ValueError` where the budget is out of reach, or where none of
    the trained candidates meets it.
    """
    recipe: Recipe = cards.build(config["recipe"], "recipe", {})
    _, space = problem_of(config, recipe)
    device: Device = cards.build(config["device"], "device", {})
    latency_table = LatencyTable.load(folder / "table.json", space.architectures, device)
    cost = latency_table.cost(space)
    names = ("latency_ms", "fraction", "macs", "params")
    given = asked["budget"] if any(asked["budget"][name] is not None for name in names) else config["budget"]
    latency_ms, fraction, macs, params = (given[name] for name in names)
    counts = count_limits(space, macs, params)
    if counts and given is not asked["budget"]:  # the run's own fraction holds only where no other cost has a budget
        fraction = None
    margin = latency_table.margin if asked["budget"]["margin"] is None else asked["budget"]["margin"]
    budget = resolve_budget(cost, latency_ms, fraction, margin)
    limits = ([Limit("latency_ms", cost, budget.limit_ms)] if budget else []) + counts
    found, scores, origin = ranked(folder, config, Feasible(space, limits), asked["count"])
    measured: list[float | None] = [None] * len(found)
    if asked["measure"]:
        with phase("measuring", len(found), "network") as advance:
            for i, genotype in enumerate(found):
                measured[i] = measure_arch_ms(space.decode(genotype), device, seed=asked["seed"]).median_ms
                advance(1, f"{measured[i]:.4g} ms")
    parts = [f"{budget.asked_ms:.4g}ms"] if budget else []
    parts += [f"{limit.limit:.0f}{limit.name}" for limit in counts]
    out = Path(asked["out"]) if asked["out"] else folder / "-".join(["derived", *parts])
    rows, records = [], []
    for i, (genotype, score, estimate, time_ms) in enumerate(
        zip(found.tolist(), scores.tolist(), cost(found).tolist(), measured, strict=True), start=1
    ):
        arch = space.decode(genotype)
        suffix = "" if i == 1 else f"-{i}"
        path = write_text(out / f"arch{suffix}.json", arch.to_json())
        write_text(out / f"recipe{suffix}.json", json.dumps(space.recipe(genotype).to_dict(), indent=1) + "\n")
        records.append(
            {
                "file": path.name,
                "arch": arch.id,
                "genotype": list(genotype),
                "score": score,
                "score_is": origin,
                "asked_latency_ms": budget.asked_ms if budget else None,
                "estimated_latency_ms": estimate,
                "measured_latency_ms": time_ms,
                "params": arch.params,
                "macs": arch.macs,
            }
        )
        shown = "–" if time_ms is None else f"{time_ms:#.4g}"
        rows.append((path.name, f"{score:.2f}", f"{estimate:#.4g}", shown, f"{arch.params:,}", f"{arch.macs:,}"))
    write_json(out / "derived.json", records)
    title = f"networks of {folder}" + (f" within {budget.asked_ms:.4g} ms on {device.key}" if budget else "")
    table(title, ("file", f"{origin}, %", "estimated ms", "measured ms", "params", "MACs"), rows)
    if len(found) < asked["count"]:
        log(f"NOTE: {asked['count']} were asked; there are no more than these {len(found)} within the budget")
    log(f"files: {out}")
    log(train_command(out / "arch.json", config, space.recipe(found[0].tolist())))


def ranked(folder: Path, config: dict[str, Any], feasible: Feasible, count: int) -> tuple[Population, Floats, str]:
    """The `count` best genotypes within the limits, their scores, and what these are (predicted or observed)."""
    assert isinstance(feasible.space, JointSpace)
    genotypes, scores = read_trials(folder, feasible.space)
    proposal = cards.build(config["method"], "method", {}).start(feasible, config["seed"])
    proposal.tell(genotypes, scores)
    if isinstance(proposal, PredictorProposal):
        front = proposal.front(feasible.maxima[None])
        return front.genotypes[0][:count], front.scores[0][:count], "predicted validation accuracy"
    within = feasible.mask(genotypes) & np.isfinite(scores)
    if not within.any():
        spans = "; ".join(
            f"{limit.name} {figure(costs.min())} to {figure(costs.max())} (asked {figure(limit.limit)})"
            for limit, costs in zip(feasible.limits, feasible.costs(genotypes).T, strict=True)
        )
        raise ValueError(
            f"none of the {len(genotypes)} candidates that {folder} trained is within the budget: they span {spans}; "
            "search again under it, or with method=predictor, which can predict others"
        )
    order = np.flatnonzero(within)[np.argsort(-scores[within], kind="stable")][:count]
    return genotypes[order], scores[order], "observed validation accuracy"
