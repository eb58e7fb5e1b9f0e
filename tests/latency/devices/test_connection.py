"""Whatever keeps a real ssh from a real sshd, or from a Python there, is one line with its cure, and soon."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from nas.latency.device import Device
from nas.latency.devices.remote import checks, connection
from nas.latency.devices.remote.address import Address
from nas.latency.devices.remote.checks import Found, look
from nas.latency.devices.remote.connection import asked

from .board import Board, free_port, interpreter, key

DEVICE = Device("board")


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def with_option(board: Board, option: str) -> Address:
    name = option.partition("=")[0]
    return board.using(options=(option, *(known for known in board.address.options if not known.startswith(name))))


def stranger(board: Board, tmp_path: Path) -> Address:
    return with_option(board, f"IdentityFile={key(tmp_path / 'key')}")


def unknown_host(board: Board, tmp_path: Path) -> Address:
    return with_option(board, f"UserKnownHostsFile={tmp_path / 'none'}")


def other_host_key(board: Board, tmp_path: Path) -> Address:
    other = key(tmp_path / "other").with_suffix(".pub").read_text()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{board.port} {other}")
    return with_option(board, f"UserKnownHostsFile={tmp_path / 'known'}")


FAULTS: dict[str, tuple[Callable[[Board, Path], Address], str]] = {
    "nothing listens": (
        lambda board, tmp: board.using(port=free_port()),
        "cannot be reached: .*Connection refused; start its ssh server .*device.port=",
    ),
    "no such name": (lambda board, tmp: board.using(host="pi@no-such-board.invalid"), "resolve .*check device.host="),
    "another key": (stranger, "lets nobody in by your keys .*ssh-copy-id -p .*ssh-add"),
    "unknown host key": (unknown_host, "is not known here yet; connect once by hand, compare and accept it: ssh -p"),
    "changed host key": (other_host_key, "another host key than your known_hosts has.*ssh-keygen -R"),
    "no such setting": (lambda board, tmp: with_option(board, "Foo=bar"), "ssh refuses a setting: .*foo"),
    "no python": (
        lambda board, tmp: board.using(python="/nowhere/python3"),
        "no interpreter /nowhere/python3 on 127.0.0.1 .*apt install python3.*device.python=",
    ),
    "not a python": (lambda board, tmp: board.using(python="/bin/false"), "/bin/false does not work there"),
    "not executable": (lambda board, tmp: board.using(python=str(board.root)), "there is no interpreter"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_line_with_the_cure(board: Board, tmp_path: Path, fault: str) -> None:
    make, message = FAULTS[fault]
    with pytest.raises(ValueError, match=message) as caught:
        look(make(board, tmp_path), board.folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_no_ssh_here(board: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="there is no ssh here; install it: .*openssh-client"):
        look(board.address, board.folder)


def test_a_machine_that_accepts_and_says_nothing(board: Board) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = board.using(port=mute.getsockname()[1], options=("ConnectTimeout=1",))
        with pytest.raises(ValueError, match="cannot be reached: .*timed out.*is it on"):
            look(address, board.folder)


def test_a_login_that_hangs(board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SILENCE_SECONDS", 1.0)
    with pytest.raises(ValueError, match="has not answered for 1 s"):
        look(board.using(python=script(tmp_path / "hangs", "exec sleep 30")), board.folder)


def test_what_login_scripts_say_is_no_reply(board: Board, tmp_path: Path) -> None:
    chatty = script(tmp_path / "chatty", f'echo Welcome; printf "no newline"; exec {board.address.python} "$@"')
    found = look(board.using(python=chatty), board.folder)
    checks.check(found, board.address, board.folder, DEVICE)
    assert found.environment()["cores"] > 0
    assert set(found.environment()) == {"cpu", "cores", "system", "python", "numpy", "onnxruntime"}


def test_missing_packages_are_named_with_what_installs_them(board: Board, tmp_path: Path) -> None:
    bare = board.using(python=interpreter(tmp_path / "bare", ()))
    with pytest.raises(
        ValueError, match="has no numpy and no onnxruntime; install it there: ssh .*-m pip install numpy"
    ):
        checks.check(look(bare, board.folder), bare, board.folder, DEVICE)
    some = board.using(python=interpreter(tmp_path / "some", ("numpy",)))
    with pytest.raises(ValueError, match="has no onnxruntime; .* -m pip install onnxruntime'") as caught:
        checks.check(look(some, board.folder), some, board.folder, DEVICE)
    assert "numpy and" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_package_for_another_processor(board: Board, tmp_path: Path) -> None:
    python = interpreter(tmp_path / "broken", ("numpy",))
    [site] = (tmp_path / "broken").glob("lib/python*/site-packages")
    (site / "onnxruntime.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    address = board.using(python=python)
    with pytest.raises(ValueError, match="cannot use its onnxruntime .*signal 4: it is built for another processor"):
        checks.check(look(address, board.folder), address, board.folder, DEVICE)


@pytest.fixture(scope="module")
def found(board: Board) -> Found:
    return look(board.address, board.folder)


def test_a_folder_that_cannot_be_written(board: Board, found: Found) -> None:
    said = asked(board.address, {"do": "about", "folder": "/dev/null/kits", "packages": {}})["about"]
    found = Found({**said, "packages": found.said["packages"]})
    with pytest.raises(ValueError, match="/dev/null/kits on 127.0.0.1 cannot be used .*device.folder="):
        checks.check(found, board.address, "/dev/null/kits", DEVICE)


def test_little_room(board: Board, found: Found) -> None:
    full = Found({**found.said, "free_bytes": 3 << 20})
    with pytest.raises(ValueError, match="disk of 127.0.0.1 is full .3.0 MB are free, .*device.folder="):
        checks.check(full, board.address, board.folder, DEVICE)


def test_more_threads_than_cores(board: Board, found: Found) -> None:
    with pytest.raises(ValueError, match="device.threads=999, but 127.0.0.1 has"):
        checks.check(found, board.address, board.folder, Device("board", threads=999))


def test_every_step_is_shown(board: Board, found: Found) -> None:
    steps = checks.findings(found, board.address, board.folder, DEVICE)
    assert [state for _, state, _, _ in steps] == ["ok"] * len(steps)
    assert [what.partition(" ")[0] for what, *_ in steps][:7] == [
        *("ssh", "python", "numpy", "onnxruntime", "processor", "folder", "load"),
    ]
