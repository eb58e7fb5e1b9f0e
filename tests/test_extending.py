"""docs/extending.md, literally: its files are written, its commands run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import ROOT, blocks, shell_lines

PAGE = "docs/extending.md"
COMMANDS = [line for line in shell_lines(PAGE) if line.startswith("python -m nas.")]
FILE = re.compile(r"# (\S+\.(?:yaml|py))\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of the page: code blocks that begin with their path."""
    for language in ("yaml", "python"):
        for block in blocks(PAGE, language):
            if found := FILE.match(block):
                path = tmp_path / found[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block)
    return tmp_path


def run(line: str, folder: Path, *more: str) -> str:
    done = subprocess.run(
        [sys.executable, *shlex.split(line)[1:], *more],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=560,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout + done.stderr


def test_the_page_has_its_commands() -> None:
    assert [line.split()[2] for line in COMMANDS] == ["nas.inspect", "nas.search"] * 2


@pytest.mark.parametrize("line", [line for line in COMMANDS if "nas.inspect" in line])
def test_inspecting_runs(line: str, folder: Path) -> None:
    said = run(line, folder)
    assert "rows of a latency table" in said
    assert "one layer a choice" in said
    assert "dnas, nsga2, predictor, random, regularized_evolution, single_path, tpe" in said  # masking needs widths
    assert f"rows: {line.replace('nas.inspect', 'nas.latency')}" in said  # pasted, the next command works


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in COMMANDS if "nas.search" in line])
def test_searching_runs(line: str, folder: Path) -> None:
    run(
        line,
        folder,
        "method.epochs=2",
        "method.warmup_epochs=1",
        "recipe.epochs=2",
        "budget.tolerance=100",
        "run_dir=run",
    )
    assert (folder / "run" / "result.json").exists()


def test_a_broken_card_is_one_line(folder: Path) -> None:
    path = folder / "my_cards" / "space" / "mine.yaml"
    path.write_text(path.read_text().replace("expand_ratio: 1}", "expand_rato: 1}"))
    done = subprocess.run(
        [sys.executable, "-m", "nas.inspect", "--config-dir", "my_cards", "space=mine"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2
    assert "stage 'early': inverted_residual has no field 'expand_rato'; did you mean expand_ratio?" in done.stderr
    assert "Traceback" not in done.stderr
