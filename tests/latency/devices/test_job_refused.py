"""A kit that cannot be measured over ssh: what is said, in one line, and what is left there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .board import Board
from .slow_kit import SCRIPT, job, there, write

FULL = "import errno, os\nraise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'results.jsonl')\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import sys\nsys.exit('died')", "ended twice without getting further .status 1: died.; see run.log"),
        ("import sys\nprint('Error: no', file=sys.stderr)\nsys.exit(2)", "127.0.0.1 refuses to measure: no$"),
        ("import os\nos.kill(os.getpid(), 11)", "signal 11: it said nothing"),
        (FULL, "the disk of 127.0.0.1 is full .*device.folder="),
    ],
)
def test_measuring_that_cannot_be(board: Board, tmp_path: Path, script: str, message: str) -> None:
    kit = write(tmp_path / "kit", script=script)
    with pytest.raises(ValueError, match=message) as caught:
        job(board, kit).run()
    assert "\n" not in str(caught.value)
    assert not (kit / "results.json").exists()


def test_a_disk_that_fills_up_while_the_kit_is_copied(board: Board, tmp_path: Path) -> None:
    kit = write(tmp_path / "kit", more=bytes(100_000))
    (there(board, kit) / "graphs").mkdir(parents=True)
    (there(board, kit) / "graphs" / "2.onnx.partial").symlink_to("/dev/full")
    with pytest.raises(ValueError, match="the disk of 127.0.0.1 is full .*device.folder="):
        job(board, kit).run()
    assert not there(board, kit).exists()  # nothing of it takes room


def test_a_disk_without_room_is_told_before(board: Board, tmp_path: Path) -> None:
    """On a file system of one megabyte, where one can be made."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        kit = write(tmp_path / "kit", more=bytes(1 << 20))
        with pytest.raises(ValueError, match=r"is full .*3.0 MB are needed, 1.0 MB are free"):
            job(board, kit, folder=str(small)).run()
        assert not list(small.rglob("*.onnx"))
    finally:
        subprocess.run(["umount", small], check=True)


def test_results_of_another_kit_are_refused(board: Board, tmp_path: Path) -> None:
    kit = write(tmp_path / "kit", script=SCRIPT.replace('{"kit": kit["id"]', '{"kit": "abc"'))
    with pytest.raises(ValueError, match="are damaged or of another kit"):
        job(board, kit).run()
    assert not (kit / "results.json").exists()


def test_nothing_reached_at_first_is_said_at_once(board: Board, tmp_path: Path) -> None:
    kit = write(tmp_path / "kit")
    with pytest.raises(ValueError, match="cannot be reached"):
        job(board, kit, address=board.using(port=1)).run()
