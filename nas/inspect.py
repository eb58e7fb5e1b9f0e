"""`python -m nas.inspect space=S`: what a space offers, and whether its card is sound, before anything is measured."""

from __future__ import annotations

from omegaconf import DictConfig

from nas.cli import entry, plain
from nas.latency.table import entries
from nas.problem import build_space
from nas.progress import log, table
from search_spaces.costs import Shape
from search_spaces.layers import Layer
from search_spaces.space import LayerwiseSpace, SearchSpace


def stage_rows(space: SearchSpace) -> list[tuple[str, str, str, int]]:
    """Per stage: its number, the shapes that reach it, the variables that decide it, rows of a latency table.

    Shapes are channels x height x width, smallest to largest.
    """
    shapes: dict[int, set[Shape]] = {}
    choices: dict[int, dict[str, int]] = {}
    rows: dict[int, set[tuple[Layer, Shape]]] = {}
    for term in space.terms:
        steps = list(space.steps(term))
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
    kind = "layer-wise: all methods" if isinstance(space, LayerwiseSpace) else "several layers a choice: no supernet"
    found = [
        ("kind", kind),
        ("genotypes", f"{space.size:.4g}"),
        ("rows of a latency table", f"{len(entries(space)):,}"),
    ]
    for name, cost in (("parameters", space.count("params")), ("multiply-adds", space.count("macs"))):
        low, high = cost.reachable()
        found.append((name, f"{low:,.0f} to {high:,.0f}"))
    return found


@entry("inspect")
def main(cfg: DictConfig) -> None:
    space = build_space(plain(cfg)["space"])
    table(f"{space.name}: stages", ("stage", "input shapes", "decided by (choices)", "rows"), stage_rows(space))
    table(space.name, ("", ""), figures(space))
    log(f"next: python -m nas.latency space=... measures the {len(entries(space)):,} rows on a device")


if __name__ == "__main__":
    main()
