"""Set-up from nothing: the installer's refusals, and files that name no place but the public index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "install.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def bin_with(folder: Path, **scripts: str) -> str:
    """A PATH of nothing but the shell's own tools and `scripts`."""
    folder.mkdir()
    for tool in ("sh", "dirname", "make", "grep", "cut", "tail", "touch"):
        found = shutil.which(tool)
        assert found is not None
        (folder / tool).symlink_to(found)
    for name, text in scripts.items():
        path = folder / name.replace("_", ".")
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return str(folder)


def make(checkout: Path, path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "test"],
        cwd=checkout,
        env={"PATH": path, "HOME": str(checkout), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_no_python_is_said_in_one_line(checkout: Path) -> None:
    """An old Python, and one of the stubs that version managers leave, are not taken for one that works."""
    path = bin_with(checkout / "bin", python3="exit 1", python3_12="echo 'command not found' >&2; exit 127")
    done = make(checkout, path)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(errors) == 1 and errors[0].startswith("error: Python 3.11 or newer")
    assert not (checkout / ".venv").exists()


@pytest.mark.slow
def test_no_network_is_said_in_one_line(checkout: Path) -> None:
    done = make(
        checkout,
        os.environ["PATH"],
        PYTHON=sys.executable,
        PIP_CONFIG_FILE=os.devnull,
        PIP_NO_CACHE_DIR="1",
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
    )
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(errors) == 1 and errors[0].startswith("error: the package index cannot be reached")
    assert not (checkout / ".venv" / ".installed").exists()


def test_installed_once(checkout: Path) -> None:
    """With the stamp newer than what it depends on, make goes straight to the command."""
    (checkout / ".venv" / "bin").mkdir(parents=True)
    python = checkout / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "ran: $@"\n')
    python.chmod(0o755)
    (checkout / ".venv" / ".installed").touch()
    done = make(checkout, os.environ["PATH"])
    assert done.returncode == 0 and done.stdout.startswith("ran: -m pytest"), done.stderr


def test_constraints_are_plain_pins_within_the_ranges() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", line) for line in lines)
    pinned = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        match = re.match(r"[A-Za-z0-9_.-]+", requirement)
        assert match and re.sub(r"[-_.]+", "-", match.group()).lower() in pinned, requirement


def test_what_is_installed_has_the_files_that_are_no_modules() -> None:
    """Cards, style, templates: the wheel takes those that `package-data` names."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for package in ("conf", "nas", "predictors", "search_spaces"):
        there = {
            path
            for path in (ROOT / package).rglob("*.*")
            if path.is_file() and path.suffix not in (".py", ".pyc", ".md")
        }
        taken = {path for pattern in named[package] for path in (ROOT / package).glob(pattern)}
        assert there == taken, f"package-data of {package}: {sorted(map(str, there ^ taken))}"


def test_nothing_names_a_place() -> None:
    for name in ("pyproject.toml", "constraints.txt", "Makefile", "install.sh", ".ci/run"):
        assert not re.search(r"https?://|/home/|/root/|--index|find-links", (ROOT / name).read_text()), name


def test_continuous_integration_runs_tests_checks_and_the_site() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-3:] == ["make test", "make check", "make docs"]
