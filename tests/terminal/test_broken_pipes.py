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
    program = (
        "from nas.runs.run import Run\n"
        "from nas.terminal.entry import entry\n"
        "from nas.terminal.progress import log\n"
        "@entry('train')\n"
        "def main(cfg):\n"
        "    with Run.open('r', None, 'train', {'seed': 0}) as run:\n"
        "        run.log('train', 0, loss=0.0)\n"
        "        for line in range(100_000): log(str(line))\n"
        "main(['arch=fbnetc_100'])\n"
    )
    error = "error: nobody reads the output any more [the run can be continued: python -m nas.train resume=r]\n"
    assert piped(program, tmp_path) == (2, "0\n", error)


def test_an_evaluation_whose_reader_goes_away_is_not_to_be_continued(tmp_path: Path) -> None:
    """`nas.evaluate` has no `resume`."""
    program = (
        "from nas.runs.run import Run\n"
        "from nas.terminal.entry import entry\n"
        "from nas.terminal.progress import log\n"
        "@entry('evaluate')\n"
        "def main(cfg):\n"
        "    with Run.open('r', None, 'evaluate', {'seed': 0}) as run:\n"
        "        run.write_json('metrics.json', {})\n"
        "        for line in range(100_000): log(str(line))\n"
        "main(['arch=fbnetc_100'])\n"
    )
    assert piped(program, tmp_path) == (141, "0\n", "")


def test_a_run_whose_terminal_is_closed_keeps_its_step(tmp_path: Path) -> None:
    """It goes on printing until the step is done, which fails where nobody is left."""
    program = (
        "import time\n"
        "from pathlib import Path\n"
        "from nas.runs.run import Run\n"
        "from nas.runs.keeping import stopping\n"
        "from nas.terminal.entry import entry\n"
        "from nas.terminal.progress import log\n"
        "@entry('train')\n"
        "def main(cfg):\n"
        "    with Run.open('r', None, 'train', {'seed': 0}) as run:\n"
        "        run.log('train', 0, loss=0.0)\n"
        "        with stopping.at_next_step():\n"
        "            log('begun')\n"
        "            until = time.monotonic() + 60\n"
        "            while not stopping.asked() and time.monotonic() < until: time.sleep(0.01)\n"
        "            for line in range(100): log(str(line))\n"
        "            Path('kept').touch()\n"
        "main(['arch=fbnetc_100'])\n"
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
