"""The threads of a tensor operation spin for moments, and those that are measured as users' own do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nas.terminal.thread_waits import BY_USER, spin_shortly

TOLD = """
import os, sys
from nas.terminal import entry, thread_waits
assert "torch" not in sys.modules

@entry.entry("zoo")
def main(cfg):
    names = thread_waits.BY_USER
    print([os.environ.get(n) for n in names], [n in thread_waits.as_deployed(os.environ) for n in names])

main([])
"""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "['2000', None] [False, False]"),
        ({"GOMP_SPINCOUNT": "7"}, "['7', None] [True, False]"),
        ({"OMP_WAIT_POLICY": "active"}, "[None, 'active'] [False, True]"),
    ],
)
def test_a_command_sets_what_the_user_has_not(given: dict[str, str], said: str) -> None:
    """And only that is taken from the environment of what is measured."""
    bare = {name: value for name, value in os.environ.items() if name not in BY_USER}
    command = [sys.executable, "-c", TOLD]
    done = subprocess.run(command, env={**bare, **given}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said


def test_a_process_that_has_torch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would not obey, and its children would be told what it was not."""
    import torch  # noqa: F401

    for name in BY_USER:
        monkeypatch.delenv(name, raising=False)
    spin_shortly()
    assert "GOMP_SPINCOUNT" not in os.environ
