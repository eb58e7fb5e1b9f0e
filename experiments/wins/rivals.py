"""The networks that a found one is held against: hand-made ones at every width, and random ones of the space."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from experiments import records
from experiments.dense_or_depthwise.networks import ladder
from nas.data import ImageData
from nas.latency.measuring.network_time import NetworkTime
from nas.runs.seeding import numpy_generator
from nas.search.references.request import FAMILIES, PLAIN, family_of
from search_spaces.arch import Arch
from search_spaces.pricing.budgets import Feasible, Limit
from search_spaces.pricing.genotype_cost import GenotypeCost
from search_spaces.space import SearchSpace

MOST_MACS = 30e6  # wider networks lie above the largest budget
DRAWS = 40_000
BELOW, ABOVE = 0.97, 1.06  # of the found network's estimate: where random ones are drawn
RESULTS = Path(__file__).parents[1] / "dense_or_depthwise" / "results.jsonl"
FOUND, RANDOM, BEST_PLAIN = "found", "random", "best plain"

Ladder = Mapping[float, Arch]


def ladders(data: ImageData, shares: Sequence[float]) -> dict[str, Ladder]:
    """By name, every width of the families that a search has as references, and of the best plain networks for each of
    the budgets `shares`, called `best plain` and its form."""
    found: dict[str, Ladder] = {}
    for name in (*FAMILIES, *PLAIN):
        widths = {width: arch for width, arch in family_of(name, data).ladder if width is not None}
        found[name] = {width: arch for width, arch in widths.items() if arch.macs <= MOST_MACS}
    for form in sorted({form for share in shares for form in best_plain(share)}):
        archs = ladder("dense", form)
        mine = {width: dataclasses.replace(arch, in_channels=data.in_channels) for width, arch in archs.items()}
        found[f"{BEST_PLAIN}: {form}"] = {width: arch for width, arch in mine.items() if arch.macs <= MOST_MACS}
    return found


def best_plain(share: float, results: Path = RESULTS) -> tuple[str, ...]:
    """The forms of plain convolutions that `experiments/dense_or_depthwise` found best at its latency nearest to
    `share`: by all images, where every form was trained on these, and by 10,000."""
    rows = records.read(results)
    trained = [r for r in rows if r["kind"] == "training" and r["blocks"] == "dense"]
    target = min({r["target"] for r in trained}, key=lambda t: abs(math.log(t / share)))
    forms = {r["form"] for r in trained}
    best = []
    for images in ("60,000", "10,000"):
        mine: dict[str, list[float]] = {}
        for r in trained:
            if r["target"] == target and r["images"] == images:
                mine.setdefault(r["form"], []).append(r["top1_percent"])
        if mine.keys() == forms:
            best.append(max(sorted(mine), key=lambda form: fmean(mine[form])))
    if not best:
        raise ValueError(f"{results} does not compare all plain forms at {target}")
    return tuple(dict.fromkeys(best))


def around(widths: Mapping[float, float], latency_ms: float, count: int = 3) -> list[float]:
    """Of widths with their milliseconds the `count` from the nearest that takes `latency_ms` or more, and up."""
    ordered = sorted(widths, key=widths.__getitem__)
    enough = [width for width in ordered if widths[width] >= latency_ms]
    return enough[:count] or ordered[-1:]


def drawn(space: SearchSpace, cost: GenotypeCost, estimate_ms: float, count: int, seed: int) -> list[Arch]:
    """`count` distinct random networks estimated at `BELOW` to `ABOVE` times `estimate_ms`.

    As random search draws them: uniformly, and where that is too slow cut down by genes of the cheapest network.
    """
    feasible = Feasible(space, [Limit("latency_ms", cost, ABOVE * estimate_ms)])
    population = feasible.sample(DRAWS, numpy_generator(seed, "random networks"))
    near = population[np.asarray(cost(population)) >= BELOW * estimate_ms]
    archs = {arch.id: arch for genotype in near[: 8 * count] for arch in [space.decode(genotype)]}
    if len(archs) < count:
        raise ValueError(
            f"only {len(archs)} of {DRAWS} random networks lie at {BELOW} to {ABOVE} times {estimate_ms:.4g} ms; "
            f"--random must be at most that"
        )
    return list(archs.values())[:count]


@dataclass(frozen=True)
class Field:
    """The `found` network and what it is held against: `hand_made` ones by name and width, a few widths of each, and
    `random` ones of the space, more than are wanted."""

    found: Arch
    hand_made: Mapping[tuple[str, float], Arch]
    random: Sequence[Arch]

    @property
    def archs(self) -> list[Arch]:
        return [self.found, *self.hand_made.values(), *self.random]

    def chosen(self, measured: Sequence[NetworkTime], random: int) -> list[dict[str, Any]]:
        """The networks that are compared, by the times `measured` of `archs`, as records in the order of training.

        Of each family the width of the least time that is the found network's or more; of the random networks so many
        whose times are nearest to it.
        """
        own, by_hand = measured[0], dict(zip(self.hand_made, measured[1:], strict=False))
        lines = [_record(FOUND, self.found, own)]
        for name in dict.fromkeys(name for name, _ in self.hand_made):
            mine = {width: time.latency_ms for (family, width), time in by_hand.items() if family == name}
            width = around(mine, own.latency_ms, 1)[0]
            lines.append(_record(name, self.hand_made[name, width], by_hand[name, width], width=width))
        times = zip(self.random, measured[1 + len(self.hand_made) :], strict=True)
        near = sorted(times, key=lambda pair: abs(math.log(pair[1].latency_ms / own.latency_ms)))[:random]
        return [*lines, *(_record(RANDOM, arch, time, index=i) for i, (arch, time) in enumerate(near))]


def _record(name: str, arch: Arch, time: NetworkTime, **more: Any) -> dict[str, Any]:
    """A network that is compared, as a record of the results."""
    return {
        **{"kind": "network", "name": name, "index": 0, "width": None, **more},
        "id": arch.id,
        "macs": arch.macs,
        "params": arch.params,
        **{key: getattr(time, key) for key in ("latency_ms", "now_ms", "spread_ms", "slowdown")},
        "arch": arch.to_dict(),
    }
