"""The two files of a start: a module and the card that names it, under the user's name."""

from __future__ import annotations

import difflib
import keyword
import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nas.runs.files import write_text
from nas.terminal.configuration.composition import CONF
from nas.terminal.configuration.override_text import command

STARTS = Path(__file__).parent / "starts"
CARDS = "my_cards"  # the folder of own cards beside the module
WORDS = re.compile(r"[a-z][a-z0-9_]{0,40}")
KINDS: dict[str, list[tuple[str, dict[str, Any]]]] = {  # and the commands that come next, with settings beside the card
    "space": [("inspect", {}), ("search", {})],
    "method": [("search", {"budget.macs": 7_000_000})],
    "device": [("doctor", {}), ("latency", {"space": "fbnet"})],
    "data": [("search", {})],
}


@dataclass(frozen=True)
class Start:
    """A start of `kind` called `name` in `folder`. Raises `ValueError` where it cannot be, or would hide something."""

    kind: str
    name: str
    folder: Path

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            near = difflib.get_close_matches(self.kind, KINDS, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(f"there is no kind={self.kind}; the kinds are {', '.join(KINDS)}{hint}")
        if not WORDS.fullmatch(self.name) or keyword.iskeyword(self.name):
            raise ValueError(
                f"name must be a name in Python of small letters, digits and _ (41 at most), got {self.name!r}; such "
                f"as name=my_{self.kind}"
            )
        if (CONF / self.kind / f"{self.name}.yaml").exists():
            raise ValueError(f"there is a card {self.kind}={self.name} already; give yours another name=")
        for path in self.files:
            if path.exists():
                raise ValueError(f"{path} exists and is not overwritten; give another name=, or another folder to=")
        found = find_spec(self.name)
        if found is not None and found.origin is not None:  # without one it is a mere folder, which a module precedes
            raise ValueError(
                f"Python has a module {self.name!r} already ({found.origin}); one of the two would hide the other: "
                "give another name="
            )

    @property
    def module(self) -> Path:
        return self.folder / f"{self.name}.py"

    @property
    def card(self) -> Path:
        return self.folder / CARDS / self.kind / f"{self.name}.yaml"

    @property
    def files(self) -> tuple[Path, Path]:
        return self.module, self.card

    def text(self, suffix: str) -> str:
        """The text of the module (`.py`) or the card (`.yaml`)."""
        words = (STARTS / f"{self.kind}{suffix}").read_text(encoding="utf-8")
        capital = "".join(part.capitalize() for part in self.name.split("_"))
        return words.replace("my_name", self.name).replace("MyName", capital)

    def write(self) -> None:
        """Write both files, or none."""
        write_text(self.module, self.text(".py"))
        try:
            write_text(self.card, self.text(".yaml"))
        except OSError:
            self.module.unlink()
            raise

    def next_commands(self) -> list[str]:
        """What can be typed now, in the folder of the start."""
        flags = ["--config-dir", CARDS]
        return [command(name, {self.kind: self.name, **more}, flags) for name, more in KINDS[self.kind]]

    @property
    def is_here(self) -> bool:
        return os.path.abspath(self.folder) == os.getcwd()
