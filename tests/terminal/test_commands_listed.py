"""`python -m nas` names every command, and lets bash complete them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from nas.__main__ import commands, completion, main
from tests.test_docs import ROOT


def test_every_command_is_listed_in_a_line_of_a_terminal(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "nas"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == ""
    for name, purpose in commands().items():
        assert find_spec(f"nas.{name}") is not None
        assert f"python -m nas.{name} " in done.stdout and purpose in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("python -m nas.se", ["nas.search"]),
        ("python -m nas.search data=digits space=fb", ["fbnet", "fbnetv3"]),
    ],
)
def test_bash_completes_commands_and_cards(line: str, words: list[str], tmp_path: Path) -> None:
    """As bash calls it, when its user has typed `line` and asks for more."""
    call = (
        f'{completion()}\nCOMP_LINE="{line}"; COMP_POINT={len(line)}; COMP_WORDS=({shlex.quote(sys.executable)})\n'
        '_nas_complete; echo "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", call], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout.split(), done.stderr) == (words, "")


def test_other_words_are_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "space=fbnet"]) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ") and text.count("\n") == 1 and "python -m nas.search" in text
