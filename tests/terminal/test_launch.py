"""Commands started by `torchrun` or `accelerate launch`."""

from __future__ import annotations

from pathlib import Path

import pytest

import nas
from nas.derive.__main__ import main as derive
from nas.terminal import launch


@pytest.mark.parametrize(
    ("rank", "said"), [("0", "error: nas.derive runs in one process, but 2 were launched"), ("1", "")]
)
def test_a_command_of_one_process_is_refused_by_the_first_before_anything_is_written(
    rank: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(SystemExit) as stop:
        derive(["run=r"])
    text = capsys.readouterr().err
    assert stop.value.code == 2 and text.startswith(said) and text.count("\n") == bool(said)
    assert not list(tmp_path.iterdir())


def test_training_is_shared_and_one_of_several_asked_processes_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert all(launch.refusal(command) is None for command in ("train", "search", "evaluate"))
    with pytest.raises(ValueError, match=r"run_search runs in one process, but 2 were launched; .*-m nas\.search"):
        nas.run_search(space="fbnet")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert launch.refusal("derive") is None
    words = ["python", "accelerate", "launch", "--num_processes", "2", "-m", "nas.train"]
    assert "asked for 2 processes and started this one alone" in (launch.note(words) or "")
    assert launch.note(["python", "accelerate", "launch", "--num_processes=1"]) is None
    assert launch.note(["bash"]) is None
