"""The code of the user's own that a search goes by, noted with each piece of its run, and said where it was edited.

That of blocks is an identity of all that was trained with it. A method, and what it holds (a predictor), only chooses
what is trained: scores stay what they are, and who mends a method that failed goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from nas.runs.environment import FILE
from nas.runs.files import read_json, write_json
from nas.terminal.progress import log
from search_spaces.arch import own_code
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.plain_data.own_code import code_of, modules_behind, other_code

OWN_CODE = "own_code"  # in `env.json`, of each piece


def code_behind(method: object, rows: Iterable[tuple[Layer, Shape]]) -> dict[str, str]:
    """The code of the user's own in `method` and in the layers of `rows`; nothing where all is ours."""
    found = {"method": code_of(modules_behind(method)), "blocks": own_code(rows).get("code", "")}
    return {what: code for what, code in found.items() if code}


def note_code(run: Path, code: Mapping[str, str]) -> None:
    """Note the `code` that the present piece of `run` goes by; said where pieces before had another method's.

    What was trained with other blocks is refused by whoever goes on with it: those that the run began with are its own.
    """
    now = {what: text for what, text in code.items() if what == "method"}
    say_other_code(run, now, "it goes on by the present one, what it finds is of both; run_dir=... begins another")
    found = read_json(run / FILE, "environment")
    piece, noted = (found["resumed"][-1], now) if found.get("resumed") else (found, dict(code))
    if noted:
        piece[OWN_CODE] = noted
        write_json(run / FILE, found)


def say_other_code(run: Path, code: Mapping[str, str], so: str) -> None:
    """Say where pieces of `run` went by other code than the present `code`, and `so` what follows.

    Of pieces from before that was noted nothing is known.
    """
    if changed := other_than(code, _noted(run)):
        log(f"NOTE: {run} was searched with other code of your own ({changed}): {so}")


def other_than(code: Mapping[str, str], noted: Iterable[Mapping[str, str]]) -> str:
    """In what the present `code` is another than any that was `noted`, in words; empty where it is not."""
    changed: dict[str, str] = {}
    for known in noted:
        for what in sorted(code.keys() & known.keys() - changed.keys()):
            if (apart := other_code(known[what], code[what])) is not None:
                changed[what] = f"{what}: {'; now '.join(apart)}"
    return ", ".join(changed.values())


def _noted(run: Path) -> list[Mapping[str, str]]:
    """What the pieces of `run` went by, as far as they say it."""
    try:
        found = read_json(run / FILE, "environment")
    except ValueError:  # whoever goes on with the run says so
        return []
    pieces = [found, *(found.get("resumed") or [])] if isinstance(found, dict) else []
    noted = [piece[OWN_CODE] for piece in pieces if isinstance(piece, dict) and isinstance(piece.get(OWN_CODE), dict)]
    return [known for known in noted if all(isinstance(code, str) for code in known.values())]
