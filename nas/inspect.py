"""`python -m nas.inspect space=S`: what a space offers, and whether its card is sound, before anything is measured."""

from __future__ import annotations

import shlex
import sys

import yaml
from omegaconf import DictConfig

from nas.data.space import build_space
from nas.latency.tables.table import all_entries, entries
from nas.methods.base import kind_of
from nas.terminal.command_help import options
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import CONF
from nas.terminal.entry import entry, plain
from nas.terminal.progress import log, table
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.space import LayerwiseSpace, SearchSpace


def stage_rows(space: SearchSpace) -> list[tuple[str, str, str, int]]:
    """Per stage: its number, the shapes that reach it, the variables that decide it, rows of a latency table.

    Shapes are channels x height x width, smallest to largest.
    """
    shapes: dict[int, set[Shape]] = {}
    choices: dict[int, dict[str, int]] = {}
    rows: dict[int, set[tuple[Layer, Shape]]] = {}
    for term, walks in zip(space.terms, space.walks, strict=True):
        steps = [step for run in walks.values for step in run]
        shapes.setdefault(term.stage, {shape for _, shape in steps})
        rows.setdefault(term.stage, set()).update(steps)
        named = choices.setdefault(term.stage, {})
        named.update({space.variables[v].name: len(space.variables[v]) for v in term.variables})
    found = []
    for stage, reached in shapes.items():
        ends = sorted({min(reached), max(reached)})
        text = " to ".join("x".join(map(str, shape)) for shape in ends)
        decided = ", ".join(f"{name} ({count})" for name, count in choices[stage].items())
        found.append((str(stage), text, decided or "fixed", len(rows[stage])))
    return found


def figures(space: SearchSpace) -> list[tuple[str, str]]:
    """Size, table rows, and the smallest and largest multiply-adds and parameters, exactly."""
    kind = "one layer a choice" if isinstance(space, LayerwiseSpace) else "several layers a choice"
    found = [
        ("kind", kind),
        ("methods", ", ".join(methods_for(space))),
        ("genotypes", f"{space.size:,}" if space.size < 1e9 else f"{space.size:.4g}"),
        ("rows of a latency table", _rows(space)),
    ]
    for name, cost in (("parameters", space.count("params")), ("multiply-adds", space.count("macs"))):
        low, high = cost.reachable()
        found.append((name, f"{low:,.0f} to {high:,.0f}"))
    return found


def _rows(space: SearchSpace) -> str:
    measured, rows = len(entries(space)), len(all_entries(space))
    return f"{rows:,}" if measured == rows else f"{rows:,}, {measured:,} of them measured, the others interpolated"


def methods_for(space: SearchSpace) -> list[str]:
    """The cards of the methods that can search `space` as it is."""
    found = []
    for name in options("method"):
        card = yaml.safe_load((CONF / "method" / f"{name}.yaml").read_text(encoding="utf-8"))
        if kind_of(cards.find_target(card["_target_"])) == "supernet":  # the others search every space
            try:
                cards.build(card, "method", {}).check(space)
            except ValueError:
                continue
        found.append(name)
    return found


@entry("inspect")
def main(cfg: DictConfig) -> None:
    space = build_space(plain(cfg)["space"])
    table(f"{space.name}: stages", ("stage", "input shapes", "decided by (choices)", "rows"), stage_rows(space))
    table(space.name, ("", ""), figures(space))
    again = shlex.join(["python", "-m", "nas.latency", *sys.argv[1:]])
    log(f"next, to measure its {len(entries(space)):,} rows: {again}")


if __name__ == "__main__":
    main()
