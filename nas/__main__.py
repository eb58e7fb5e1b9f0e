"""`python -m nas`: the commands there are, each with the first line of its card."""

from __future__ import annotations

from nas.terminal.configuration.composition import CONF
from nas.terminal.progress import log


def commands() -> dict[str, str]:
    """Every command and what it does."""
    first = {file.stem: file.read_text(encoding="utf-8").splitlines()[0] for file in sorted(CONF.glob("*.yaml"))}
    return {name: line.removeprefix("# ") for name, line in first.items() if name != "command"}


if __name__ == "__main__":
    for name, purpose in commands().items():
        log(f"python -m nas.{name:<9} {purpose}")
    log("each explains itself: python -m nas.search --help")
