"""`python -m nas` names every command."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from nas.__main__ import commands


def test_every_command_is_listed_in_a_line_of_a_terminal(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "nas"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == ""
    for name, purpose in commands().items():
        assert find_spec(f"nas.{name}") is not None
        assert f"python -m nas.{name} " in done.stdout and purpose in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120
