"""An outcome as a cell of a notebook shows it: the figures that a command prints."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Cell = object


def as_html(title: str, rows: Sequence[Sequence[Cell]], columns: Sequence[str] = ()) -> str:
    """A table for `_repr_html_`, in the notebook's own style: `rows` under `columns`, if these are named."""
    head = f"<thead><tr>{''.join(f'<th>{escape(name)}</th>' for name in columns)}</tr></thead>" if columns else ""
    body = "".join(f"<tr>{''.join(f'<td>{_shown(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption><b>{escape(title)}</b></caption>{head}<tbody>{body}</tbody></table>"


def _shown(cell: Cell) -> str:
    if cell is None:
        return "–"
    return escape(f"{cell:.4g}" if isinstance(cell, float) else str(cell))
