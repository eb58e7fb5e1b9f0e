"""Where another machine is, and the command line of the system's `ssh` that reaches it.

The user's own configuration, agent and keys are used. Everything given here is checked and is an argument of `ssh`,
behind `--` where it names the machine; nothing is pasted into a shell of this machine. The shell there is given one
command, whose only variable words are the interpreter, quoted, and a number.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}@)?[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,252}")
OPTION = re.compile(r"[A-Za-z]{2,40}=\S.{0,1000}")
LEAST_PYTHON = (3, 10)
TOO_OLD = "nas: too old: Python"
# Read and run the program that follows on stdin; Python 2 can read these lines too.
BOOT = (
    "import sys; "
    f"sys.version_info[:2] >= {LEAST_PYTHON} or "
    f'sys.exit("{TOO_OLD} %d.%d" % sys.version_info[:2]); '
    "exec(sys.stdin.buffer.read(int(sys.argv[1])).decode())"
)
ALWAYS = (  # whatever the user's configuration says
    "BatchMode=yes",  # no questions: nobody is there to answer
    "ControlMaster=no",  # one that is there is used, none is begun
    "RemoteCommand=none",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
)
BY_DEFAULT = ("ConnectTimeout=15", "ServerAliveInterval=15", "ServerAliveCountMax=4", "LogLevel=ERROR")


@dataclass(frozen=True, slots=True)
class Address:
    """`host` as ssh takes it (`pi@board`, or a name of ~/.ssh/config), and how it is reached.

    `port`: None for that of the configuration. `options`: settings of ssh_config(5), `Name=value`. `python`: the
    interpreter there, `~/` being the home directory there. Raises `ValueError` for a host, port, option or interpreter
    that cannot be one.
    """

    host: str
    port: int | None = None
    options: tuple[str, ...] = ()
    python: str = "python3"

    def __post_init__(self) -> None:
        if not HOST.fullmatch(self.host):
            raise ValueError(
                f"device.host must be a machine as ssh takes it, such as pi@board, pi@192.168.1.7 or a name of "
                f"~/.ssh/config (letters, digits, '.', '_', '-', ':'), got {_shown(self.host)}"
            )
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError(f"device.port must be from 1 to 65535, got {self.port}")
        for option in self.options:
            if not OPTION.fullmatch(option) or not option.isprintable():
                raise ValueError(
                    """device.options is a list of settings of ssh, 'device.options=["IdentityFile=~/.ssh/board"]', """
                    f"got {_shown(option)}"
                )
        if not self.python or not self.python.isprintable() or self.python.startswith("-"):
            raise ValueError(
                f"device.python must be an interpreter on the device, such as python3 or ~/nas/bin/python, "
                f"got {_shown(self.python)}"
            )

    @property
    def name(self) -> str:
        """The machine's own part of `host`, without user, as a name of a device: letters, digits, '_' and '.'."""
        return re.sub(r"[^A-Za-z0-9_.]", "_", self.host.rpartition("@")[2])[:64]

    def command(self, program_bytes: int) -> list[str]:
        """The words that start `python` there on a program of so many bytes, which its stdin begins with."""
        there = f"exec {_quoted_path(self.python)} -u -c {shlex.quote(BOOT)} {program_bytes}"
        return ["ssh", "-T", "-a", "-x", *self._settings(), "--", self.host, there]

    def by_hand(self, there: str = "") -> str:
        """What a user types to run `there` on the machine, or to log in."""
        words = ["ssh", *(("-p", str(self.port)) if self.port else ())]
        words += [word for option in self.options for word in ("-o", option)]
        return shlex.join([*words, self.host, *([there] if there else [])])

    def _settings(self) -> list[str]:
        """ssh takes the first value it is given of each setting."""
        port = ["-p", str(self.port)] if self.port is not None else []
        return [*port, *(word for text in (*ALWAYS, *self.options, *BY_DEFAULT) for word in ("-o", text))]


def _quoted_path(path: str) -> str:
    """`path` as a word for the shell there, whose home directory `~/` is."""
    return f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)


def _shown(value: str) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}..."
