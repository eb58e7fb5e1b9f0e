"""A board on the loopback address: a real sshd with keys of its own, and interpreters with what a board has."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nas.latency.devices.remote.address import Address

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
HAS = ("numpy", "onnxruntime")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def interpreter(folder: Path, packages: tuple[str, ...] = HAS, base: str = sys.executable) -> str:
    """A Python with `packages` and nothing else, of the kind that `base` is."""
    subprocess.run([base, "-m", "venv", "--without-pip", folder], check=True)
    [site] = folder.glob("lib/python*/site-packages")
    for name in packages:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        package = Path(spec.origin).parent
        for found in package.parent.glob(f"{name}*"):  # shared libraries and metadata lie beside it
            (site / found.name).symlink_to(found)
    return str(folder / "bin" / "python")


@dataclass
class Board:
    """A running sshd and the address that reaches it."""

    root: Path
    port: int
    process: subprocess.Popen[bytes]
    address: Address
    within: tuple[str, ...] = ()  # the command that its daemon is started by

    @property
    def folder(self) -> str:
        return str(self.root / "there")

    def start(self) -> None:
        """Let a daemon listen, and wait until it does."""
        command = [*self.within, str(SSHD), "-D", "-e", "-f", str(self.root / "sshd_config")]
        with (self.root / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError((self.root / "sshd.log").read_text()[-500:])

    def stop(self) -> None:
        self.cut()
        self.process.terminate()
        self.process.wait()

    def sessions(self) -> list[int]:
        """The processes of sshd that serve a connection."""
        return children(self.process.pid)

    def cut(self) -> int:
        """End every connection; how many there were."""
        found = [pid for session in self.sessions() for pid in (session, *children(session)) if is_sshd(pid)]
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(found)

    def using(self, **changes: object) -> Address:
        return replace(self.address, **changes)  # type: ignore[arg-type]


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def is_sshd(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("sshd")
    except FileNotFoundError:
        return False


def settings_of(root: Path, port: int) -> dict[str, object]:
    """What a daemon of these tests is told; keys lie in `root`."""
    return {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": root / "host_key",
        "AuthorizedKeysFile": root / "authorized_keys",
        "PidFile": "none",
        "UsePAM": "no",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
    }


def prepared(root: Path, **changes: object) -> Board:
    """A board in the new folder `root` whose daemon is not started yet, with our own interpreter, its settings changed.

    The test is skipped, with the reason, where there is no sshd.
    """
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("needs sshd and ssh: apt install openssh-server openssh-client")
    if os.geteuid() == 0:
        try:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # which a daemon started by root confines itself to
        except OSError as error:
            pytest.skip(f"sshd started by root needs /run/sshd: {error}")
    root.mkdir(exist_ok=True)
    port = free_port()
    host_key, user_key = key(root / "host_key"), key(root / "user_key")
    shutil.copy(root / "user_key.pub", root / "authorized_keys")
    (root / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key.with_suffix('.pub').read_text()}")
    settings = {**settings_of(root, port), **changes}
    (root / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    options = (
        f"IdentityFile={user_key}",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        f"UserKnownHostsFile={root / 'known_hosts'}",
        "GlobalKnownHostsFile=/dev/null",
    )
    return Board(root, port, None, Address("127.0.0.1", port, options))  # type: ignore[arg-type]


def open_board(root: Path) -> Board:
    """A board in the new folder `root`, which answers as the user of these tests."""
    board = prepared(root)
    board.address = board.using(python=interpreter(root / "python"))
    board.start()
    return board
