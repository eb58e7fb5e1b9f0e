"""A board whose login is an unprivileged user's: their home, their interpreter, their files, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.latency.devices.remote import checks
from nas.latency.devices.remote.address import BOOT
from nas.latency.devices.ssh import SshDevice
from nas.latency.effort import Effort

from .account import CONFINED, SHARED, Account, account, base_python
from .board import Board, interpreter, prepared
from .kinds import tiny

LEAST = Effort(fit_networks=2, held_out_networks=2, rounds=2, network_rounds=2, visit_ms=0.1, network_visit_ms=0.1)


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    with account() as made:
        yield made


@pytest.fixture(scope="module")
def login(user: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A daemon that lets `user` in, strict about whose files its keys are; a login leaves the home directory."""
    changes = {"AuthorizedKeysFile": ".ssh/authorized_keys", "StrictModes": "yes", "PermitRootLogin": "no"}
    board = prepared(tmp_path_factory.mktemp("login") / "board", **changes)
    keys = user.home / ".ssh"
    keys.mkdir(mode=0o700)
    (keys / "authorized_keys").write_bytes((board.root / "user_key.pub").read_bytes())
    (user.home / ".bashrc").write_text("cd /usr\n")
    interpreter(user.home / "nas", base=base_python(user))
    user.give(user.home)
    board.address = board.using(host=f"{user.name}@127.0.0.1", python="~/nas/bin/python")
    board.within = CONFINED
    board.start()
    yield board
    board.stop()


@pytest.fixture(scope="module")
def device(login: Board) -> SshDevice:
    address = login.address
    return SshDevice(address.host, login.port, address.options, address.python)


def written(user: Account) -> list[Path]:
    """What is this user's where something of theirs may be, outside of the home directory too."""
    found = user.runs("find", "/home", "/run", "/var", *SHARED, "-xdev", "-user", user.name)
    return [Path(os.fsdecode(line)) for line in found.stdout.splitlines()]


@pytest.mark.slow
def test_a_table_and_networks_by_another_user(device: SshDevice, user: Account, tmp_path: Path) -> None:
    """All that is left belongs to the user and lies in their home, whatever directory the login begins in."""
    table = device.table(tiny(), tmp_path, effort=LEAST)
    assert table.device.name == "127.0.0.1" and user.name not in table.device.key
    (time,) = device.measure([tiny().decode([0])], table)
    assert time.latency_ms > 0
    kept = user.home / ".cache" / "nas-under-budget"
    [kit] = (kept / "kits").iterdir()  # that of the networks is gone
    assert (kit / "results.json").exists() and all(user.owns(path) for path in kept.rglob("*"))
    assert all(path.is_relative_to(user.home) for path in written(user))


def test_every_step_is_looked_at_as_that_user(device: SshDevice, user: Account) -> None:
    steps = device.findings()
    assert [state for _, state, _, _ in steps] == ["ok"] * len(steps)
    [python] = [note for what, _, _, note in steps if what == "python there"]
    assert python == str(user.home / "nas/bin/python")


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        (str(Path("~root").expanduser() / "kits"), "Permission denied"),
        ("/usr/kits", "Permission denied"),
        ("/tmp/kits", "Read-only file system"),
        ("~root/kits", "Permission denied"),
        ("~nobodyatall/kits", "home directory"),
    ],
)
def test_a_folder_that_the_user_may_not_write(login: Board, user: Account, folder: str, why: str) -> None:
    device = SshDevice(login.address.host, login.port, login.address.options, login.address.python, folder)
    with pytest.raises(ValueError, match=f"{folder} on .* cannot be used .*{why}.*device.folder=") as refused:
        device.check()
    assert "\n" not in str(refused.value)


def test_an_interpreter_that_the_user_may_not_run(login: Board, user: Account) -> None:
    """One that is root's own."""
    closed = user.home / "closed"
    closed.write_text("#!/bin/sh\n")
    closed.chmod(0o700)
    os.chown(closed, 0, 0)
    address = login.using(python=str(closed))
    with pytest.raises(ValueError, match="there is no interpreter .*Permission denied.*device.python="):
        checks.look(address, "~/kits")
    assert BOOT in login.address.command(1)[-1]


def test_root_is_not_let_in(login: Board) -> None:
    with pytest.raises(ValueError, match="lets nobody in by your keys"):
        checks.look(login.using(host="root@127.0.0.1"), "~/kits")
