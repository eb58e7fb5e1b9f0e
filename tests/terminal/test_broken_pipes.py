"""A reader of the output that goes away (`... | head`), or all of a terminal (an ssh session that is closed)."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path


def test_broken_pipe_is_quiet() -> None:
    done = subprocess.run(
        f"{shlex.quote(sys.executable)} -m nas.doctor --help | head -n 1", shell=True, capture_output=True, text=True
    )
    assert done.stdout.startswith("python -m nas.doctor") and done.stderr == ""


def test_a_command_that_is_cut_short_does_not_pass_for_done(tmp_path: Path) -> None:
    """Quietly, as programs end whose pipe is closed."""
    program = (
        "from nas.terminal.entry import entry\n"
        "from nas.terminal.progress import log\n"
        "@entry('train')\n"
        "def main(cfg):\n"
        "    for line in range(100_000): log(str(line))\n"
        "main(['arch=fbnetc_100'])\n"
    )
    assert piped(program, tmp_path) == (141, "0\n", "")


def test_a_run_whose_reader_goes_away_says_how_it_goes_on(tmp_path: Path) -> None:
    """Nothing is done with the run, so that ending as if all went well would pass for its end."""
    program = in_a_run("train", "run.log('train', 0, loss=0.0)", "for line in range(100_000): log(str(line))")
    error = "error: nobody reads the output any more [the run can be continued: python -m nas.train resume=r]\n"
    assert piped(program, tmp_path) == (2, "0\n", error)


def test_an_evaluation_whose_reader_goes_away_is_not_to_be_continued(tmp_path: Path) -> None:
    """`nas.evaluate` has no `resume`."""
    program = in_a_run("evaluate", "run.write_json('metrics.json', {})", "for line in range(100_000): log(str(line))")
    assert piped(program, tmp_path) == (141, "0\n", "")


def test_a_run_whose_terminal_is_closed_keeps_its_step(tmp_path: Path) -> None:
    """It goes on printing until the step is done, which fails where nobody is left."""
    program = in_a_run(
        "train",
        "run.log('train', 0, loss=0.0)",
        "with stopping.at_next_step():",
        "    log('begun')",
        "    until = time.monotonic() + 60",
        "    while not stopping.asked() and time.monotonic() < until: time.sleep(0.01)",
        "    for line in range(100): log(str(line))",
        "    Path('kept').touch()",
    )
    terminal, theirs = pty.openpty()
    path = shlex.quote(os.ttyname(theirs))
    # what begins a session takes the first terminal that it opens as its own
    begin = f"exec <{path} >{path} 2>&1; exec {shlex.quote(sys.executable)} -c {shlex.quote(program)}"
    run = subprocess.Popen(["/bin/sh", "-c", begin], start_new_session=True, cwd=tmp_path, env=surroundings())
    said = b""
    while b"begun" not in said:
        said += os.read(terminal, 1000)
    os.close(theirs)
    os.close(terminal)
    assert run.wait(60) == 129
    assert (tmp_path / "kept").exists()
    assert json.loads((tmp_path / "r" / "progress.json").read_text())["ended"] == "interrupted"


def in_a_run(command: str, *lines: str) -> str:
    """A program that is `python -m nas.<command>`, whose run does what `lines` say."""
    return "\n".join(
        [
            "import time",
            "from pathlib import Path",
            "from nas.runs.keeping import stopping",
            "from nas.runs.run import Run",
            "from nas.terminal.entry import entry",
            "from nas.terminal.progress import log",
            f"@entry('{command}')",
            "def main(cfg):",
            f"    with Run.open('r', None, '{command}', {{'seed': 0}}) as run:",
            *(f"        {line}" for line in lines),
            "main(['arch=fbnetc_100'])",
        ]
    )


def surroundings() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def piped(program: str, folder: Path) -> tuple[int, str, str]:
    """Status, output and errors of a Python program of whose output one line is read."""
    done = subprocess.run(
        f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} | head -n 1; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        cwd=folder,
        env=surroundings(),
    )
    return done.returncode, done.stdout, done.stderr
