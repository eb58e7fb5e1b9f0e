"""A host, option or interpreter is an argument of ssh or a quoted word there, and never an option or a command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nas.latency.devices.remote.address import BOOT, TOO_OLD, Address
from nas.latency.devices.remote.faults import ended

HOSTILE = [
    "-oProxyCommand=touch owned",
    "-oProxyCommand=touch\towned",
    "--",
    "-",
    "",
    " ",
    "pi@board -oProxyCommand=x",
    "pi@board;touch owned",
    "pi@board\ntouch owned",
    "pi@board\n",
    "pi@$(touch owned)",
    "`touch owned`@board",
    "pi@'board'",
    'pi@"board"',
    "pi@board|cat",
    "pi@board&",
    "pi@-oProxyCommand=x",
    "-l root@board",
    "@board",
    "pi@@board",
    "pi@board/x",
    "ssh://pi@board",
    "pi@bo\x00ard",
    "b" * 300,
    "pi@böard",
]


@pytest.mark.parametrize("host", HOSTILE)
def test_a_host_cannot_become_an_option_or_a_command(host: str) -> None:
    with pytest.raises(ValueError, match="device.host must be a machine as ssh takes it, such as pi@board") as caught:
        Address(host)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["board", "pi@board", "pi@192.168.1.7", "a.b@my-board.local", "root@fe80::1%eth0"])
def test_the_host_stands_behind_the_end_of_options(host: str) -> None:
    words = Address(host, 2222, ("IdentityFile=~/.ssh/my key", "ConnectTimeout=3")).command(10)
    assert words[words.index("--") + 1] == host and len(words) == words.index("--") + 3
    assert words[words.index("-p") + 1] == "2222"
    settings = [words[i + 1] for i, word in enumerate(words) if word == "-o"]
    assert settings.index("BatchMode=yes") < settings.index("IdentityFile=~/.ssh/my key")
    assert settings.index("ConnectTimeout=3") < settings.index("ConnectTimeout=15")  # ssh goes by the first
    assert "ServerAliveInterval=15" in settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"port": 0}, "device.port must be from 1 to 65535, got 0"),
        ({"port": 70000}, "device.port"),
        ({"options": ("-F/tmp/x",)}, "device.options is a list of settings of ssh"),
        ({"options": ("ProxyCommand",)}, "device.options"),
        ({"options": ("User=x\nProxyCommand=y",)}, "device.options"),
        ({"python": "-c"}, "device.python must be an interpreter"),
        ({"python": ""}, "device.python"),
        ({"python": "python3\nreboot"}, "device.python"),
    ],
)
def test_other_settings_are_checked(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Address("board", **changes)


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("name", ["py thon", "it's", 'a"b', "a;touch owned", "$(touch owned)", "a\\b", "~ü", "!x"])
def test_an_interpreter_of_any_name_is_one_word_there(tmp_path: Path, name: str, shell: str) -> None:
    """As it is, and below the home directory there."""
    (tmp_path / name).write_text("#!/bin/sh\nprintf '%s|' \"$@\"\n")
    (tmp_path / name).chmod(0o755)
    for python in (str(tmp_path / name), f"~/{name}"):
        there = Address("board", python=python).command(77)[-1]
        done = subprocess.run([shell, "-c", there], capture_output=True, cwd=tmp_path, env={"HOME": str(tmp_path)})
        assert done.stdout.decode() == f"-u|-c|{BOOT}|77|", done.stderr
    assert not (tmp_path / "owned").exists()


def test_an_old_interpreter_is_named() -> None:
    old = BOOT.replace("(3, 10)", "(9, 1)")
    done = subprocess.run([sys.executable, "-c", old, "0"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith(TOO_OLD) and done.stderr.count("\n") == 1
    found = ended(Address("board"), 1, done.stderr)
    assert "python3 on board is Python 3." in str(found) and "3.10 or later" in str(found)
    assert "device.python=" in str(found)


@pytest.mark.parametrize(
    ("host", "name"),
    [("pi@my-board.local", "my_board.local"), ("fe80::1%eth0", "fe80__1_eth0"), ("10.0.0.7", "10.0.0.7")],
)
def test_the_name_of_its_tables(host: str, name: str) -> None:
    assert Address(host).name == name


def test_what_a_user_pastes_is_quoted() -> None:
    address = Address("pi@board", 2222, ("IdentityFile=~/my key",))
    assert address.by_hand("kill 7") == "ssh -p 2222 -o 'IdentityFile=~/my key' pi@board 'kill 7'"
