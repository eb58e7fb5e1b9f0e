"""Documentation that cannot rot: every command shown is one the program accepts, every link leads somewhere."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.terminal.configuration.composition import CONF, compose

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("experiments/**/*.md")]
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text()
    return [content for name, content in BLOCK.findall(text) if name == language]


def shell_lines(page: str) -> list[str]:
    """The commands of a page's bash blocks, continued lines joined."""
    joined = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")]


def module_calls() -> list[tuple[str, str]]:
    return [(page, line) for page in PAGES for line in shell_lines(page) if " -m nas." in f" {line}"]


@pytest.mark.parametrize(("page", "line"), module_calls())
def test_commands_are_accepted(page: str, line: str) -> None:
    """The command exists and its settings compose; what they do is tested where the command is."""
    words = shlex.split(line, comments=True)
    while "=" in words[0]:  # environment variables in front
        words.pop(0)
    at = words.index("-m")
    command = words[at + 1].removeprefix("nas.")
    assert (CONF / f"{command}.yaml").exists(), f"{page}: there is no nas.{command}"
    assert importlib.util.find_spec(f"nas.{command}"), f"{page}: there is no nas.{command}"
    settings = [word for word in words[at + 2 :] if "=" in word and not word.startswith("-")]
    if "--multirun" in words:
        settings = [f"{key}={value.split(',')[0]}" for key, _, value in (word.partition("=") for word in settings)]
    if "--config-dir" in words:
        settings = [word for word in settings if not (CONF / word.partition("=")[0]).is_dir()]
    accept(command, tuple(settings))


@cache
def accept(command: str, settings: tuple[str, ...]) -> None:
    """Pages often name the same one."""
    compose(command, list(settings))


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for line in shell_lines(page):
            if line.startswith("make "):
                assert line.split()[1] in targets, f"{page}: {line}"


def test_links_lead_somewhere() -> None:
    links = {
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", BLOCK.sub("", (ROOT / page).read_text()))
        if not target.startswith("http")
    }
    assert len(links) > 100
    lost = [
        f"{page} links to {target}"
        for page, target in sorted(links)
        if not (ROOT / page).parent.joinpath(target).exists()
    ]
    assert not lost, "\n".join(lost)


def test_named_tests_exist() -> None:
    named = {
        (page, file, name)
        for page in PAGES
        for file, name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", (ROOT / page).read_text())
    }
    assert len(named) > 20
    files = {file: (ROOT / file).read_text() if (ROOT / file).is_file() else "" for _, file, _ in named}
    lost = [f"{page} names {file}::{name}" for page, file, name in sorted(named) if f"def {name}(" not in files[file]]
    assert not lost, "\n".join(lost)


def test_python_examples_parse() -> None:
    for page in PAGES:
        for block in blocks(page, "python"):
            compile(block, page, "exec", ast.PyCF_ONLY_AST)


def test_readme_python_runs() -> None:
    for block in blocks("README.md", "python"):
        exec(compile(block, "README.md", "exec"), {})


ELSEWHERE = ("README.md", "docs/extending.md", "docs/python.md")  # whose blocks other tests run
FOREIGN = ('runpy.run_path("train.py"', "load_dataset(")  # scripts and data of others, which are not here


def scores() -> str:
    """Trainings of somebody's, as docs/predictors.md reads them: what was chosen, the accuracy, what it costs."""
    rows = ["width,kernel,activation,lr,accuracy,latency_ms"]
    for width, kernel, act, lr in itertools.product((8, 16, 24, 32), (3, 5), ("relu", "silu"), (0.01, 0.1)):
        accuracy = 60 + width / 2 - 0.01 * (width - 20) ** 2 + kernel / 5 - 10 * lr + (act == "silu")
        rows.append(f"{width},{kernel},{act},{lr},{accuracy},{width * kernel / 32}")
    return "\n".join(rows)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page not in ELSEWHERE and blocks(page, "python")])
def test_python_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page, one after the other, beside what they read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    if page == "docs/export.md":
        nas.export_model("fbnet_a", checkpoint="random", output="model.onnx", measure=False)
    if page == "docs/predictors.md":
        Path("trials.csv").write_text(scores())
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page, "python"):
        if not any(foreign in block for foreign in FOREIGN):
            exec(compile(block, page, "exec"), names)


LONGEST = 1700  # seconds of one command, where other work keeps the machine busy
COMMANDS = [line for line in shell_lines("README.md") if line.startswith("python -m ")]
RUN = re.compile(r"runs/\w+")
MADE = re.compile(r"run_dir=(runs/\w+)")


class Followed:
    """The README's commands, literally, in one folder that is empty at first; each once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: set[str] = set()

    def run(self, line: str) -> None:
        """Run `line`, behind those before it that make the runs it reads."""
        before = COMMANDS[: COMMANDS.index(line)]
        makes, names = MADE.findall(line), RUN.findall(line)
        for earlier in before:
            if set(MADE.findall(earlier)) & (set(names) - set(makes)) and earlier not in self.done:
                self.run(earlier)
        done = subprocess.run(
            [sys.executable, *shlex.split(line, comments=True)[1:]],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            env={**os.environ, "OMP_NUM_THREADS": "2"},
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        self.done.add(line)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    return Followed(tmp_path_factory.mktemp("readme"))


@pytest.mark.slow
@pytest.mark.timeout(2 * LONGEST)
@pytest.mark.parametrize("line", COMMANDS, ids=[line.partition("#")[0].strip() for line in COMMANDS])
def test_readme_commands_run(followed: Followed, line: str) -> None:
    """Each has its own time; alone, or in another process than the one before it, it makes what it needs itself."""
    if line not in followed.done:
        followed.run(line)
