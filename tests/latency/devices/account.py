"""A login of its own on this machine: an unprivileged user who may write nothing outside of a home directory."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SHARED = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")  # what everybody may write
READ_ONLY = (
    "for folder in " + " ".join(SHARED) + '; do [ ! -d "$folder" ] || '
    '{ mount --bind "$folder" "$folder" && mount -o remount,ro,bind "$folder"; } || exit 1; done; '
)
CONFINED = ("unshare", "--mount", "--propagation", "private", "sh", "-c", READ_ONLY + 'exec "$0" "$@"')
"""What begins the command that a daemon is started by, so that those who log in find these folders read-only."""


@dataclass(frozen=True)
class Account:
    """A user `name` of this machine, with the home directory `home`."""

    name: str
    home: Path
    uid: int

    def runs(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        """`command`, run as this user."""
        ours = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
        return subprocess.run([*ours, *command], env={"HOME": str(self.home)}, cwd="/", capture_output=True)

    def owns(self, path: Path) -> bool:
        return path.lstat().st_uid == self.uid

    def give(self, path: Path) -> None:
        """Let `path`, and what is in it, be this user's."""
        subprocess.run(["chown", "-hR", f"{self.uid}:{self.uid}", str(path)], check=True)


@contextmanager
def account() -> Iterator[Account]:
    """A new user, who is removed with all that is theirs; the test is skipped where none can be made."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a user who logs in")
    for tool in ("useradd", "userdel", "setpriv", "unshare"):
        if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            pytest.skip(f"needs {tool}, to make a user who logs in and may write nothing elsewhere")
    if subprocess.run([*CONFINED, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to mount, to keep a user from writing elsewhere")
    name = f"nas{os.getpid()}"
    home = Path(f"/home/{name} of a board")
    made = subprocess.run(
        ["useradd", "--create-home", "--home-dir", str(home), "--shell", "/bin/bash", "--password", "*", name],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"useradd cannot make a user: {made.stderr.strip()}")
    try:
        yield Account(name, home, pwd.getpwnam(name).pw_uid)
    finally:
        subprocess.run(["userdel", "--remove", name], capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


def base_python(user: Account) -> str:
    """An interpreter that `user` may run, whose packages may be ours; the test is skipped where there is none."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for found in (os.path.realpath(sys.executable), f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        code = "import numpy, onnxruntime"
        folder = Path(__import__("numpy").__file__).parents[1]
        done = user.runs("env", f"PYTHONPATH={folder}", found, "-c", code)
        if done.returncode == 0:
            return found
    pytest.skip(f"no Python {version} here that another user may run with our numpy and onnxruntime")
