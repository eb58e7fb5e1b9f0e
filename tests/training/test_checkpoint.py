"""Checkpoint files: whole or not there, data and never code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from nas import checkpoint, engine

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
    with pytest.raises(ValueError, match=r"a is (damaged \(truncated\?\)|not a checkpoint)"):
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
    for name in ("a.pt", "b.pt"):
        with pytest.raises(ValueError, match=r"holds more than plain data|damaged"):
            checkpoint.load(tmp_path / name)
    assert "ran" not in capsys.readouterr().out


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
