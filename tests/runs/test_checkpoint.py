"""Checkpoint files: whole or not there, data and never code."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from nas.runs import checkpoint
from nas.train import accelerator as engine
from tests.runs.killed_runs import damage

STATE = {"weights": torch.arange(6.0).reshape(2, 3), "epoch": 3, "name": "a", "nested": [{"x": (1, 2.5)}]}


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.pt"
    checkpoint.save(path, STATE)
    found = checkpoint.load(path)
    assert torch.equal(found.pop("weights"), STATE["weights"])
    assert found == {key: value for key, value in STATE.items() if key != "weights"}
    assert [entry.name for entry in path.parent.iterdir()] == ["a.pt"]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["state", "weights"])
def test_truncated(share: float, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    if kind == "state":
        checkpoint.save(path, STATE)
    else:
        checkpoint.save_weights(path, {"w": torch.randn(40, 40)})
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r"a (is damaged \(truncated\?\)|is not a checkpoint|carries no digest)"):
        (checkpoint.load if kind == "state" else checkpoint.load_weights)(path)


def test_missing_and_other_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkpoint at"):
        checkpoint.load(tmp_path / "none.pt")
    with pytest.raises(ValueError, match="no weights file at"):
        checkpoint.load_weights(tmp_path / "none.safetensors")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds a list, expected a dict"):
        checkpoint.load(tmp_path / "list.pt")


class Code:
    def __reduce__(self) -> tuple:
        return print, ("ran",)


def test_code_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"x": Code()}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps({"x": Code()}))
    checkpoint.save(tmp_path / "c.pt", {"x": Code()})
    for name in ("a.pt", "b.pt", "c.pt"):
        for read in (checkpoint.load, checkpoint.load_foreign, checkpoint.latest):
            with pytest.raises(ValueError, match=r"holds more than plain data|damaged"):
                read(tmp_path / name)
    assert "ran" not in capsys.readouterr().out


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """In the tensors, in the zip's own records, in the digest and in the length of the comment that holds it."""
    path = tmp_path / "a.pt"
    checkpoint.save(path, STATE)
    whole = path.read_bytes()
    assert zipfile.ZipFile(path).comment.startswith(b"nas sha256 ")
    places = [*range(0, len(whole), 97), *range(len(whole) - 120, len(whole))]
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"a\.pt (is damaged|carries no digest)"):
            checkpoint.load(path)
    path.write_bytes(whole)
    assert checkpoint.load(path)["epoch"] == 3


def test_a_checkpoint_without_digest_is_read_as_weights_alone(tmp_path: Path) -> None:
    torch.save({"x": 1}, tmp_path / "a.pt")
    assert checkpoint.load_foreign(tmp_path / "a.pt") == {"x": 1}
    for read in (checkpoint.load, checkpoint.latest):
        with pytest.raises(ValueError, match=r"a\.pt carries no digest.*remove it to begin this phase again"):
            read(tmp_path / "a.pt")


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.pt"
    assert checkpoint.latest(path) is None
    for epoch in (1, 2, 3):
        checkpoint.save(path, {"epoch": epoch})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.previous.pt", "a.pt"]
    assert checkpoint.latest(path) == {"epoch": 3}
    damage(path)
    assert checkpoint.latest(path) == {"epoch": 2}
    assert "a.pt is damaged" in (said := capsys.readouterr().out) and "going on from the one before it" in said
    assert checkpoint.latest(path) == {"epoch": 2} and not capsys.readouterr().out  # said once
    checkpoint.save(path, {"epoch": 3})  # the good one is never replaced by the damaged one
    assert checkpoint.load(checkpoint.previous(path)) == {"epoch": 2}
    damage(path)
    damage(checkpoint.previous(path))
    with pytest.raises(ValueError, match=r"a\.pt is damaged.*a\.previous\.pt; remove both to begin this phase again"):
        checkpoint.latest(path)


def test_the_only_checkpoint_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint.save(tmp_path / "a.pt", {"epoch": 1})
    damage(tmp_path / "a.pt")
    assert checkpoint.latest(tmp_path / "a.pt") is None
    assert "this phase begins again" in capsys.readouterr().out
    assert (tmp_path / "a.damaged.pt").exists()


@pytest.mark.parametrize("fatal", [1, 2, 3])
def test_killed_between_the_two_generations(fatal: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any of the renames one of the two generations is there."""
    path, moves = tmp_path / "a.pt", 0
    replace = Path.replace

    def dies(self: Path, target: Path) -> Path:
        nonlocal moves
        moves += 1
        if moves == fatal:
            raise KeyboardInterrupt
        return replace(self, target)

    checkpoint.save(path, {"epoch": 1})
    checkpoint.save(path, {"epoch": 2})
    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, {"epoch": 3})
    assert checkpoint.latest(path) == {"epoch": 2} and moves == fatal


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    checkpoint.save(path, STATE)
    before = path.read_bytes()

    def full_disk(state: object, target: BinaryIO) -> None:
        target.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, {"x": 1})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pt"]


def test_weights_round_trip(tmp_path: Path) -> None:
    weights = {"a": torch.randn(3, 4).t(), "b": torch.tensor(5)}
    checkpoint.save_weights(tmp_path / "w.safetensors", weights)
    found = checkpoint.load_weights(tmp_path / "w.safetensors")
    assert all(torch.equal(found[key], weights[key]) for key in weights)


def test_engine_refuses_what_it_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert engine.make_accelerator("cpu").device.type == "cpu"
    assert engine.make_accelerator("auto").device.type == "cpu"
    for arguments, message in (
        (("gpu",), "unknown accelerator 'gpu'; one of auto, cpu, cuda"),
        (("cuda",), "no usable CUDA device; use accelerator=cpu or auto"),
        (("cpu", "fp8"), "unknown precision 'fp8'; one of no, bf16, fp16"),
        (("cpu", "fp16"), "fp16 needs a CUDA device"),
    ):
        with pytest.raises(ValueError, match=message):
            engine.make_accelerator(*arguments)
