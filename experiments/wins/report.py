"""The tables of `results.jsonl`, of a comparison that is finished or not, and the verdict by its goal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments import records
from experiments.equal_latency import mean_interval
from experiments.wins.published import PUBLISHED_TOP1
from experiments.wins.rivals import FOUND, RANDOM

Record = dict[str, Any]
NEAR = 1.25  # a hand-made network that is slower than the found one by more than this is no rival at its latency
WINS_NEEDED = 2  # budgets at which the found networks are to be above the best hand-made one


@dataclass(frozen=True)
class Difference:
    """Found less another, paired by seed: the mean in points and half of its 95% interval (None: a single seed)."""

    mean: float
    half: float | None
    seeds: int

    @classmethod
    def of(cls, found: Mapping[int, float], other: Mapping[int, float]) -> Difference | None:
        common = sorted(found.keys() & other.keys())
        if not common:
            return None
        values = [found[seed] - other[seed] for seed in common]
        mean, half = mean_interval(values) if len(values) > 1 else (values[0], None)
        return cls(mean, half, len(values))

    @property
    def is_above(self) -> bool:
        return self.half is not None and self.mean > self.half

    @property
    def is_below(self) -> bool:
        return self.half is not None and self.mean < -self.half

    def __str__(self) -> str:
        half = "" if self.half is None else f" ± {self.half:.2f}"
        return f"{self.mean:+.2f}{half} points, {_seeds(self.seeds)}"

    @property
    def verdict(self) -> str:
        if self.half is None:
            return "one seed proves nothing"
        return "above" if self.is_above else "below" if self.is_below else "not told apart"


@dataclass(frozen=True)
class AtBudget:
    """What is known at one budget: its networks and trainings; `top1` by name and seed, the mean of random ones."""

    budget: float
    networks: list[Record]
    trainings: list[Record]

    def top1(self, name: str) -> dict[int, float]:
        """By seed; of random networks the mean of those of the seed, where all of them are trained."""
        found: dict[int, float] = {}
        known = {(r["id"], r["seed"]): r["top1_percent"] for r in self.trainings}
        for seed in sorted({n["seed"] for n in self.networks}):
            ids = [n["id"] for n in self.networks if n["name"] == name and n["seed"] == seed]
            if ids and all((which, seed) in known for which in ids):
                found[seed] = fmean(known[which, seed] for which in ids)
        return found

    @property
    def hand_made(self) -> list[str]:
        return list(dict.fromkeys(n["name"] for n in self.networks if n["name"] not in (FOUND, RANDOM)))

    def difference(self, name: str) -> Difference | None:
        return Difference.of(self.top1(FOUND), self.top1(name))

    def slower(self, name: str) -> float:
        """The mean time of network `name` over the found network's."""
        mean = {who: fmean(n["latency_ms"] for n in self.networks if n["name"] == who) for who in (name, FOUND)}
        return mean[name] / mean[FOUND]

    @property
    def best(self) -> str | None:
        """The best hand-made network: of the highest mean over the seeds of which most are known; none that is slower
        by more than `NEAR`, as it has no width that is quicker."""
        near = [name for name in self.hand_made if self.slower(name) <= NEAR]
        known = {name: self.top1(name) for name in near if self.difference(name) is not None}
        most = max(map(len, known.values()), default=0)
        return max((n for n in known if len(known[n]) == most), key=lambda n: fmean(known[n].values()), default=None)


def report(file: Path) -> None:
    """Print what is in `file`."""
    print(text(records.read(file)))


def text(found: list[Record]) -> str:
    """Tables, verdicts, what is missing, and what it took."""
    every = at_each_budget(found)
    parts = [_setting(found), *(_table(at) for at in every), _verdict(every)]
    parts += [_published(found, every), _missing(found, every), _searches(found), _cost(found)]
    return "\n\n".join(part for part in parts if part)


def at_each_budget(found: list[Record]) -> list[AtBudget]:
    """What the records of one file hold, by budget."""
    return [_at(found, budget) for budget in sorted({r["budget"] for r in found if r["kind"] == "network"})]


def _at(found: list[Record], budget: float) -> AtBudget:
    mine = [r for r in found if r["kind"] in ("network", "training") and r["budget"] == budget]
    networks = [r for r in mine if r["kind"] == "network"]
    own = {(n["id"], n["seed"]) for n in networks}
    trainings = [r for r in found if r["kind"] == "training" and (r["id"], r["seed"]) in own]
    return AtBudget(budget, networks, trainings)


def _setting(found: list[Record]) -> str:
    (setting,) = (r for r in found if r["kind"] == "setting")
    images = f"{setting['images']:,}" if setting["images"] else "all"
    if setting.get("search_images"):
        images += f" ({setting['search_images']:,} in searches)"
    if setting.get("candidate_images"):
        images += f" ({setting['candidate_images']:,} of a candidate)"
    how = f"trained for {setting['candidate_epochs']} epochs"
    if setting["elastic"]:
        how = f"scored by a supernet of {setting['elastic']} epochs"
    return f"{setting['dataset']}, {images} training images, {setting['epochs']} epochs; candidates are {how}."


def _table(at: AtBudget) -> str:
    lines = [
        f"Budget: {at.budget} of the reference network's time.",
        "",
        "| network | widths | ms measured, mean (range) | MACs (M) | top-1 %, mean and 95% interval "
        "| found less it, paired by seed | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in (FOUND, *at.hand_made, RANDOM):
        mine = [n for n in at.networks if n["name"] == name]
        if not mine:
            continue
        times, macs = [n["latency_ms"] for n in mine], [n["macs"] / 1e6 for n in mine]
        widths = sorted({n["width"] for n in mine if n["width"] is not None})
        apart = at.difference(name) if name != FOUND else None
        verdict = apart.verdict if apart else ""
        if at.slower(name) > NEAR:
            verdict = f"{verdict}, {at.slower(name):.2f} times slower: does not count".removeprefix(", ")
        lines.append(
            f"| {name} | {_range(widths, '.3g') if widths else ''} "
            f"| {fmean(times):.4f} ({min(times):.4f} to {max(times):.4f}) | {_range(macs, '.2f')} "
            f"| {_mean([*at.top1(name).values()])} | {apart or ''} | {verdict} |"
        )
    return "\n".join(lines)


def _range(values: list[float], form: str) -> str:
    low, high = f"{min(values):{form}}", f"{max(values):{form}}"
    return low if low == high else f"{low} to {high}"


def _mean(values: list[float]) -> str:
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.2f}, 1 seed"
    mean, half = mean_interval(values)
    return f"{mean:.2f} ± {half:.2f}, {_seeds(len(values))}"


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


def _verdict(every: list[AtBudget]) -> str:
    """By the goal: above the best hand-made network at two budgets of three and below it nowhere, above the mean of
    random ones at all."""
    lines, wins, losses, over_random, told = [], 0, 0, 0, 0
    for at in every:
        best, random = at.best, at.difference(RANDOM)
        apart = at.difference(best) if best else None
        if apart is not None:
            told += apart.half is not None
            wins, losses = wins + apart.is_above, losses + apart.is_below
            lines.append(f"* {at.budget}: found less the best hand-made ({best}) {apart}: {apart.verdict}")
        if random is not None:
            over_random += random.mean > 0
            lines.append(f"* {at.budget}: found less the mean of random networks {random}: {random.verdict}")
    if not lines:
        return ""
    is_reached = wins >= WINS_NEEDED and not losses and over_random == len(every) > 2
    goal = (
        f"above the best hand-made network at {wins} of {len(every)} budgets (goal {WINS_NEEDED} of 3), below it at "
        f"{losses} (goal 0), above the mean of random networks at {over_random} (goal 3)"
    )
    how = "reached" if is_reached else "missed" if told == len(every) > 2 else "open"
    return "\n".join(["Verdict:", "", *lines, f"* the goal is {how}: {goal}"])


def _published(found: list[Record], every: list[AtBudget]) -> str:
    """Published networks by the same recipe, whatever time they take, with the found ones of each budget less them."""
    networks = [r for r in found if r["kind"] == "published"]
    if not networks:
        return ""
    heads = [f"found at {at.budget} less it" for at in every]
    lines = [
        "Published networks of CIFAR's size by the same recipe, at no budget:",
        "",
        f"| network | MACs (M) | parameters (M) | top-1 % | published % | {' | '.join(heads)} |",
        "| --- " * (5 + len(heads)) + "|",
    ]
    for network in networks:
        mine = [r for r in found if r["kind"] == "training" and r["id"] == network["id"]]
        top1 = {r["seed"]: r["top1_percent"] for r in mine}
        apart = [Difference.of(at.top1(FOUND), top1) for at in every]
        lines.append(
            f"| {network['name']} | {network['macs'] / 1e6:.2f} | {network['params'] / 1e6:.2f} "
            f"| {_mean([*top1.values()])} | {PUBLISHED_TOP1[network['name']]} "
            f"| {' | '.join(f'{one}, {one.verdict}' if one else '' for one in apart)} |"
        )
    return "\n".join(lines)


def _missing(found: list[Record], every: list[AtBudget]) -> str:
    """Which trainings of searches that are finished are still to come."""
    lines = []
    searches = [(r["budget"], r["seed"]) for r in found if r["kind"] == "search"]
    trained = {(r["id"], r["seed"]) for r in found if r["kind"] == "training"}
    for budget, seed in searches:
        mine = [n for at in every if at.budget == budget for n in at.networks if n["seed"] == seed]
        left = [n["name"] for n in mine if (n["id"], seed) not in trained]
        if not mine:
            lines.append(f"* {budget}, seed {seed}: searched, nothing compared yet")
        elif left:
            names = ", ".join(dict.fromkeys(left))
            lines.append(f"* {budget}, seed {seed}: {len(left)} of {len(mine)} trainings ({names})")
    for network in (r for r in found if r["kind"] == "published"):
        seeds = sorted({seed for _, seed in searches if (network["id"], seed) not in trained})
        if seeds:
            lines.append(f"* {network['name']}: seeds {', '.join(map(str, seeds))}")
    counts = {budget: sum(b == budget for b, _ in searches) for budget, _ in searches}
    said = ", ".join(f"{budget}: {_seeds(count)}" for budget, count in sorted(counts.items()))
    head = f"Searches so far at {said}." if said else "No search is finished yet."
    return "\n".join([head, *(["", "Still to be trained:", "", *lines] if lines else [])])


def _searches(found: list[Record]) -> str:
    rows = [r for r in found if r["kind"] == "search"]
    if not rows:
        return ""
    lines = [
        "| budget | seed | ms asked | estimated | measured | MACs (M) | contest | minutes | processor minutes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in sorted(rows, key=lambda r: (r["budget"], r["seed"])):
        contest = f"{r['contest'][0][0]} of {len(r['contest'])}" if r["contest"] else "none"
        lines.append(
            f"| {r['budget']} | {r['seed']} | {_ms(r['asked_latency_ms'])} | {_ms(r['estimated_latency_ms'])} "
            f"| {_ms(r['measured_latency_ms'])}{'' if r['budget_met'] else ' (missed)'} | {r['macs'] / 1e6:.2f} "
            f"| {contest} | {r['search_seconds'] / 60:.1f} | {r['processor_seconds'] / 60:.1f} |"
        )
    return "\n".join(lines)


def _ms(ms: float | None) -> str:
    return "-" if ms is None or not math.isfinite(ms) else f"{ms:.4f}"


def _cost(found: list[Record]) -> str:
    hours = {
        kind: sum(r["processor_seconds"] for r in found if r["kind"] == kind) / 3600
        for kind in ("search", "training", "measured")
    }
    return (
        f"Processor hours: {hours['search']:.2f} of searches (contests and own final trainings among them), "
        f"{hours['training']:.2f} of {sum(r['kind'] == 'training' for r in found)} trainings, "
        f"{hours['measured']:.2f} of measuring."
    )
