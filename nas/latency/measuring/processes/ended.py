"""A measuring process that a signal ended: what it was at, and how that is told in one line.

Part of the script that a kit carries (see `kit_script`).
"""

from __future__ import annotations

import signal
from pathlib import Path

SHELL = 128  # an exit status above it is that of a process that told of another's signal, as shells do
SLIP_BYTES = 1024
KINDS = {"row": "block", "net": "network", "reference": "reference network"}  # of a workload, by how its key begins
CURES = {
    "SIGKILL": "most likely for want of memory: end what else runs there, or measure where there is more",
    "SIGILL": "as its runtime is built for another processor: install a build for this one",
    **dict.fromkeys(("SIGTERM", "SIGINT", "SIGHUP"), "by somebody who stopped it: start it again"),
}
FAULT = "a fault of its runtime: another version of that, or another runtime (device.runtime=), may do"


class Ended(ValueError):
    """A process that measured was ended by the signal `number`.

    `who` it was, what it was `at` (empty: nobody knows), the last it `said`, and what is `kept` of its work.
    """

    def __init__(self, who: str, number: int, at: str = "", said: str = "", kept: str = "") -> None:
        super().__init__(who, number, at, said, kept)
        self.who, self.number, self.at, self.said, self.kept = who, number, at, said, kept

    def __str__(self) -> str:
        name = signal.Signals(self.number).name if self.number in {*signal.Signals} else f"signal {self.number}"
        parts = [f"{self.who} was ended by {name}, {CURES.get(name, FAULT)}", self.kept]
        parts += [self.at and f"it was {self.at}", self.said and f"the last it said: {self.said}"]
        return "; ".join(filter(None, parts))

    def keeping(self, kept: str) -> Ended:
        return Ended(self.who, self.number, self.at, self.said, kept)


def signal_of(status: int) -> int | None:
    """The signal of which the exit `status` of a process tells, its own or that of one it waited for."""
    number = -status if status < 0 else status - SHELL
    return number if 0 < number <= 64 else None


class Slip:
    """A small file in which a process keeps what it is at, for whoever finds it dead.

    A line to its reader would wake that in the middle of a measurement; this is a microsecond, and nobody is woken.
    """

    def __init__(self, path: str | None) -> None:
        self.file = None if path is None else open(path, "wb", buffering=0)  # noqa: SIM115  (see close)
        self.text = ""

    def write(self, text: str) -> None:
        if self.file is not None and text != self.text:
            self.text = text
            self.file.seek(0)
            self.file.write(text.encode()[:SLIP_BYTES].ljust(SLIP_BYTES))

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


def read_slip(path: Path) -> str:
    return path.read_bytes().decode(errors="replace").strip() if path.exists() else ""


def named(key: str) -> str:
    """The workload `key`, in words."""
    kind, _, name = key.partition(":")
    return f"the {KINDS.get(kind, kind)} {name}".strip()
