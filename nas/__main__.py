"""`python -m nas`: the commands there are, each with the first line of its card.

`python -m nas completion=bash` prints what makes bash complete them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nas.terminal.configuration.composition import CONF
from nas.terminal.progress import log

COMPLETION = Path(__file__).parent / "terminal" / "completion.bash"


def commands() -> dict[str, str]:
    """Every command and what it does."""
    first = {file.stem: file.read_text(encoding="utf-8").splitlines()[0] for file in sorted(CONF.glob("*.yaml"))}
    return {name: line.removeprefix("# ") for name, line in first.items() if name != "command"}


def completion() -> str:
    """A script for bash that completes the commands and what each takes."""
    names = " ".join(f"nas.{name}" for name in commands())
    return COMPLETION.read_text(encoding="utf-8").replace("@COMMANDS@", names)


def main(arguments: list[str]) -> int:
    """The exit status of `python -m nas <arguments>`."""
    if arguments == ["completion=bash"]:
        print(completion())
    elif arguments:
        print(
            f"error: python -m nas takes completion=bash or nothing, got {' '.join(arguments)}; a command is one word: "
            "python -m nas.search",
            file=sys.stderr,
        )
        return 2
    else:
        for name, purpose in commands().items():
            log(f"python -m nas.{name:<9} {purpose}")
        log("each explains itself: python -m nas.search --help")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
