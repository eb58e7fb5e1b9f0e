"""Checkpoints: data, never code, with a digest of every byte, in two generations.

A checkpoint is what `torch.save` writes, a zip file, whose comment holds the SHA-256 digest of all before it. `save`
keeps the checkpoint before the new one beside it (`search.previous.pt`), and `latest` goes back to that where the
newest is damaged.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from nas.runs.files import write_atomic
from nas.terminal.progress import log

_MARK = b"nas sha256 "
_COMMENT = len(_MARK) + 64  # bytes: the mark and 64 hexadecimal digits
_CHUNK = 1 << 20


class Damaged(ValueError):
    """A checkpoint that is not what was written."""


def save(path: str | Path, state: dict[str, Any]) -> Path:
    """Write `state` (tensors, numbers, strings and containers of them) to `path`; what was there becomes `previous`.

    Whenever the process ends, one of the two is whole.
    """
    path = Path(path)

    def write(temporary: Path) -> None:
        with temporary.open("w+b") as file:  # given a path, torch turns a full disk into a RuntimeError
            torch.save(state, file)
            _seal(file)

    written = write_atomic(_beside(path, "new"), write)
    if path.exists():
        path.replace(previous(path))
    return written.replace(path)


def load(path: str | Path) -> dict[str, Any]:
    """The state that `save` wrote to `path`, on the CPU.

    Raises `Damaged` where the bytes are not those that were written, `ValueError` where the file is missing, carries no
    digest or is not a checkpoint.
    """
    path = Path(path)
    sealed = _is_intact(path)
    state = _read(path)
    if not sealed:
        raise ValueError(
            f"checkpoint {path} carries no digest, so nobody can tell whether it is intact: it was not written by this "
            "version; remove it to begin this phase again, or continue the run with the version that wrote it"
        )
    return state


def load_foreign(path: str | Path) -> dict[str, Any]:
    """The state in `path`, of any program that writes dicts with `torch.save`; a digest is checked where there is one.

    Raises `ValueError` where the file is missing, damaged, or holds more than plain data.
    """
    path = Path(path)
    _is_intact(path)
    return _read(path)


def latest(path: str | Path, otherwise: str = "this phase begins again") -> dict[str, Any] | None:
    """The newest intact generation of checkpoint `path`; None where there is none, and `otherwise` happens.

    A damaged newest one is set aside as `<name>.damaged.pt`, and that is said. Raises `ValueError` where neither
    generation can be used.
    """
    path = Path(path)
    older = previous(path)
    if not path.exists():  # also where a process was killed between the two renames of `save`
        return load(older) if older.exists() else None
    try:
        return load(path)
    except Damaged as error:
        try:
            state = load(older) if older.exists() else None
        except Damaged:
            raise Damaged(f"{error}; so is the one before it, {older}; remove both to begin this phase again") from None
        aside = _beside(path, "damaged")
        with contextlib.suppress(FileNotFoundError):  # another process of this training was faster
            path.replace(aside)
        way = otherwise if state is None else f"going on from the one before it, {older}"
        log(f"{error}; it is kept as {aside}; {way}")
        return state


def previous(path: Path) -> Path:
    """Where the generation before checkpoint `path` lies."""
    return _beside(path, "previous")


def save_weights(path: str | Path, weights: Mapping[str, Tensor]) -> Path:
    """Write a state dict to `path` as safetensors, atomically."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    return write_atomic(path, lambda temporary: safetensors.torch.save_file(tensors, temporary, {"format": "pt"}))


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """The state dict in `path` (safetensors). Raises `ValueError` where the file is missing or damaged."""
    path = Path(path)
    try:
        return safetensors.torch.load_file(path)
    except FileNotFoundError:
        raise ValueError(f"no weights file at {path}") from None
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ValueError(_damaged(path, error)) from None


def _beside(path: Path, word: str) -> Path:
    return path.with_name(f"{path.stem}.{word}{path.suffix}")


def _seal(file: BinaryIO) -> None:
    """Append the digest of `file` as the comment of the zip file it is."""
    end = file.seek(0, 2) - 2  # the last two bytes are the length of the comment: 0 so far
    digest = _digest(file, end)
    file.seek(end)
    file.write(struct.pack("<H", _COMMENT) + _MARK + digest.encode())


def _is_intact(path: Path) -> bool:
    """Whether `path` carries the right digest; False where it carries none. Raises `Damaged` for a wrong one."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2) - _COMMENT - 2
            if end < 0:
                return False
            file.seek(end)
            length, mark, stored = struct.unpack(f"<2s{len(_MARK)}s64s", file.read())
            if mark != _MARK:
                return False
            if length != struct.pack("<H", _COMMENT) or stored != _digest(file, end).encode():
                raise Damaged(f"checkpoint {path} is damaged: its bytes do not have the digest they were written with")
            return True
    except FileNotFoundError:
        raise ValueError(f"no checkpoint at {path}") from None
    except OSError as error:
        raise Damaged(_damaged(path, error)) from None


def _digest(file: BinaryIO, length: int) -> str:
    """SHA-256 of the first `length` bytes, 64 hexadecimal digits."""
    sha = hashlib.sha256()
    file.seek(0)
    while length and (chunk := file.read(min(length, _CHUNK))):
        sha.update(chunk)
        length -= len(chunk)
    return sha.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about pickles of others before it refuses them
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(f"{path} is not a checkpoint of this framework, or holds more than plain data") from None
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, ValueError, KeyError) as error:
        raise Damaged(_damaged(path, error)) from None
    if not isinstance(state, dict):
        raise ValueError(f"checkpoint {path} holds a {type(state).__name__}, expected a dict")
    return state


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"checkpoint {path} is damaged (truncated?): {reason[:160]}"
