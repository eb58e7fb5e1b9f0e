"""The end of a search: `result.json`, and what is shown on the screen."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.data import ImageData
from nas.derive.budget import OTHERS
from nas.derive.most_probable import SINGLE
from nas.derive.setup import ElasticRun, FinishedSearch
from nas.derive.verdict import COSTS, say_missed
from nas.methods.base import is_supernet
from nas.networks.network import FlatNetwork, Network
from nas.report.sections.decided import sentence
from nas.search.contest import standings
from nas.search.found import Found
from nas.search.pricing.prices import Prices
from nas.search.references.against import Against
from nas.search.references.comparing import compared, show_references
from nas.search.references.handing_over import FOUND, handed_record
from nas.search.references.pricing import left_out
from nas.search.references.reference import Reference
from nas.search.setup import SearchSetup
from nas.terminal.next_command import derive_command
from nas.terminal.notebook.outcome import as_html
from nas.terminal.progress import format_seconds, log, table
from nas.train.answers.guessing import accuracy_words
from nas.train.start.teacher import SETTINGS as TEACHING
from search_spaces.arch import Arch
from search_spaces.memory.counted import amount
from search_spaces.recipe import Recipe
from search_spaces.space import Genotype, LayerwiseSpace
from search_spaces.wrappers.joint import JointSpace


@dataclass(frozen=True)
class SearchOutcome:
    """What a search left in `run_dir`: the first derived network as `arch`, its `recipe`, and where it was trained the
    `network` with its test `figures` on `data`; the files of all derived ones are `archs`.
    `references`: what it is held against; `handed`: the one of them that takes its place, `network` then being its.
    `contest`: the record of the one that put `arch` first."""

    setup: SearchSetup
    run_dir: Path
    prices: Prices
    found: Found
    arch: Arch
    recipe: Recipe
    archs: tuple[Path, ...]
    data: ImageData
    network: Network | FlatNetwork | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()
    handed: Reference | None = None
    contest: Mapping[str, Any] | None = None

    @property
    def missed(self) -> list[str]:
        """A phrase for each budget that the network exceeds."""
        return [] if self.handed else self.prices.budgets.shortfalls(self.found.derived.first)

    @functools.cached_property
    def result(self) -> dict[str, Any]:
        """The content of `result.json`."""
        found = record(self)
        return handed_record(found, self.handed, self.prices.budgets) if self.handed else found

    def _repr_html_(self) -> str:
        """What a notebook shows of it: the receipt."""
        return as_html(f"result of {self.run_dir}", receipt(self.result, self.missed))

    @property
    def against(self) -> Against:
        """The found network as its references are held against it."""
        first, budget = self.found.derived.first, self.prices.budget
        ms = first.estimated_ms if first.measured_ms is None else first.measured_ms
        ceiling = None if budget is None else budget.ceiling_ms
        made = (self.setup, self.arch, self.recipe, self.data, self.figures)
        return Against(*made, ms, ceiling, self.found.seconds)

    def finished(self) -> FinishedSearch:
        """The search that networks can be derived from, with the very objects that it used."""
        setup = self.setup
        return FinishedSearch(
            folder=self.run_dir,
            space=setup.problem.space,
            method=setup.method,
            recipe=setup.recipe,
            device=self.prices.device,
            data=setup.problem.source.card,
            budget=setup.budget,
            seed=setup.seed,
            counted=self.prices.budgets.counted,
            elastic=None
            if is_supernet(setup.method)
            else ElasticRun.of(self.run_dir, setup.candidates, setup.problem.data),
            teaching={name: setup.stored.get(name) for name in TEACHING},
        )


def record(outcome: SearchOutcome) -> dict[str, Any]:
    """`result.json`: what was asked, estimated and measured, and what it cost. Not applicable is null.

    `derived_by`: the way of `nas.derive.most_probable`, or `ranking` of trained candidates.
    `budget_met`: whether the network holds every budget, latency as measured (null: no budget); `not_measured`: why it
    has no measured latency.
    """
    setup, found, arch, figures = outcome.setup, outcome.found, outcome.arch, outcome.figures
    latency_table, budgets, first = outcome.prices.table, outcome.prices.budgets, found.derived.first
    budget, inherited = budgets.latency, found.inherit is not None
    why = None
    if first.measured_ms is None:
        why = (
            outcome.prices.not_measured(outcome.run_dir)
            or "it was derived on another machine; remove derived.json to measure it here"
        )
    return {
        "space": setup.problem.space.name,
        "method": setup.method_name,
        "data": outcome.data.name,
        "seed": setup.seed,
        "device": latency_table.device.key if latency_table else None,
        "asked_latency_ms": budget.asked_ms if budget else None,
        "estimated_latency_ms": first.estimated_ms,
        "measured_latency_ms": first.measured_ms,
        "latency_now_ms": first.now_ms,
        "latency_note": first.note or None,
        "not_measured": why,
        "budget_met": budgets.met(first),
        "limit_latency_ms": budget.limit_ms if budget else None,
        "reachable_latency_ms": [budget.low_ms, budget.high_ms] if budget else None,
        "derived_by": found.derived_by,
        "arch": arch.id,
        "genotype": list(first.genotype),
        **budgets.figures(arch, first.genotype),
        "activations": arch.activations,
        "top1_percent": figures.get("top1_percent"),
        "top5_percent": figures.get("top5_percent"),
        "guessing_percent": outcome.data.guessing_percent,
        "weights": figures.get("weights", "inherited from the supernet" if inherited else "from scratch")
        if figures
        else None,
        "recipe": outcome.recipe.to_dict(),
        "trials": found.trials,
        "validation_top1_percent": found.validation_top1_percent,
        "equal_candidates": found.equals,
        "scorer": None if found.trials is None else setup.candidates.scorer,
        "pretrain_seconds": found.pretrain_seconds,
        **({"decided": None} if found.ending is None else found.ending.figures(first.genotype)),
        "search_seconds": found.seconds,
        "train_seconds": figures.get("train_seconds"),
        **compared(outcome.against, outcome.references),
        "references_left_out": left_out(outcome.run_dir),
        "contest": outcome.contest,
        "table_proof": latency_table.proof.to_dict() if latency_table and latency_table.proof else None,
    }


def show(outcome: SearchOutcome) -> None:
    """A budget that was missed first; chosen block per layer, the receipt, where the files are, what to type next."""
    path, found, missed = outcome.run_dir, outcome.result, outcome.missed
    if missed:
        say_missed(missed, "a smaller budget leaves more room, budget.rounds gives more tries; exit status 1")
    show_references(found)
    of_found = f" ({FOUND})" if found.get("handed_over") else ""  # the receipt is of the reference
    _show_choices(outcome.setup.problem.space, outcome.found.derived.first.genotype, of_found)
    table(f"result of {path}", ("", ""), receipt(found, missed))
    log(f"files: {', '.join(map(str, outcome.archs))}" + (f", {path}/model" if found["top1_percent"] else ""))
    log(f"all of it on one page: {path}/report.html")
    mode = {"mode": "budget"} if found.get("derived_by") in SINGLE else {}
    log(derive_command(path, {**another_budget(found), **mode, "count": 3}))


def _show_choices(searched: JointSpace, genotype: Genotype, whose: str) -> None:
    space = searched if searched.recipes.variables else searched.architectures
    if isinstance(space, LayerwiseSpace):
        rows = []
        for position, gene in zip(space.positions, genotype, strict=True):
            c, h, w = position.shape
            layer = position.candidates[gene]
            rows.append((position.name, layer.label, f"{c}x{h}x{w}", layer.out_shape(position.shape).channels))
        table(f"chosen blocks{whose}", ("layer", "block", "input", "out"), rows)
    else:
        choices = [(v.name, v.choices[g]) for v, g in zip(space.variables, genotype, strict=True)]
        table(f"chosen{whose}", ("variable", "choice"), choices)


def receipt(found: Mapping[str, Any], missed: Sequence[str]) -> list[tuple[str, str]]:
    """The rows of what was asked, what came of it and what it took, from `result.json`."""

    def ms(key: str) -> str:
        return "–" if found[key] is None else f"{found[key]:.4g} ms"

    latency = [(f"latency {word}", ms(f"{word}_latency_ms")) for word in ("asked", "estimated", "measured")]
    if found["estimated_latency_ms"] is not None and found["not_measured"]:
        latency[2] = ("latency measured", f"not measured: {found['not_measured']}")
    if found.get("latency_note"):
        latency.append(("", found["latency_note"]))
    rows = [
        *(latency if any(value != "–" for _, value in latency) else ()),  # none where latency is off
        ("parameters", f"{found['params']:,}"),
        ("multiply-adds", f"{found['macs']:,}"),
        ("peak memory", f"{amount(found['memory_kib'])} KiB of activations ({found['counted']['dtype']})"),
        ("weights", f"{amount(found['weights_kib'])} KiB ({found['counted']['dtype']})"),
    ]
    if found["energy_mj"] is not None:
        rows.append(("energy", f"{found['energy_mj']:.4g} mJ an image, by the table"))
    rows += [
        (f"{label} asked", f"at most {found[f'asked_{key}']:,}{unit}")
        for key, label, unit in COSTS
        if found[f"asked_{key}"] is not None
    ]
    if found.get("budget_met") is not None:
        rows.append(("budget", "MISSED" if missed else "met"))
    if found["trials"] is not None:
        words = "candidates scored" if found.get("scorer") == "elastic" else "candidates trained"
        rows.append((words, f"{found['trials']}"))
    if found["validation_top1_percent"] is not None:
        equals = f", as {found['equal_candidates']} others" if found.get("equal_candidates") else ""
        rows.append(("validation accuracy", f"{found['validation_top1_percent']:.2f}% top-1 in the search{equals}"))
    if found["top1_percent"] is not None:
        rows.append(("test accuracy", f"{accuracy_words(found)} on {found['data']}"))
        rows.append(("weights are", found["weights"]))
        if found["train_seconds"]:  # a network that inherits its weights had no training of its own
            rows.append(("training took", format_seconds(found["train_seconds"])))
    if found.get("pretrain_seconds") is not None:
        rows.append(("pretraining took", format_seconds(found["pretrain_seconds"])))
    if said := sentence(found):
        rows.append(("decided", said))
    if found.get("contest") is not None:
        rows.append(("contest", standings.sentence(found["contest"])))
        rows.append(("contest took", f"{format_seconds(found['contest']['train_seconds'])} of training"))
    rows.append(("search took", format_seconds(found["search_seconds"])))
    return rows


def another_budget(found: dict[str, Any]) -> dict[str, float]:
    """Budgets of `nas.derive` that the run can answer, from its result: a tighter latency if that is in reach, within
    the other budgets as they were asked; without one on latency, looser others, which are in reach for certain."""
    if found["trials"] is not None and found["method"] != "predictor":
        return {}  # it knows the candidates it trained: more of them within its own budget
    others = {name: found[f"asked_{name}"] for name in OTHERS if found.get(f"asked_{name}") is not None}
    if found["asked_latency_ms"] is None:
        if others:
            return {f"budget.{name}": _looser(asked) for name, asked in others.items()}
        return {} if found["estimated_latency_ms"] is None else {"budget.fraction": 0.3}
    low, high = found["reachable_latency_ms"]
    tighter = float(f"{0.8 * found['asked_latency_ms']:.3g}")
    latency_ms = float(f"{tighter if tighter > low else (low + high) / 2:.3g}")
    return {"budget.latency_ms": latency_ms, **{f"budget.{name}": asked for name, asked in others.items()}}


def _looser(asked: float) -> float:
    """A budget that is a quarter larger, as it is typed: a whole number where `asked` is one."""
    return round(1.25 * asked) if isinstance(asked, int) else float(f"{1.25 * asked:.4g}")
