"""Checkpoints: data, never code. They appear whole or not at all, and a damaged one is refused by name."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from nas.files import write_atomic


def save(path: str | Path, state: dict[str, Any]) -> Path:
    """Write `state` (tensors, numbers, strings and containers of them) to `path` atomically."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # given a path, torch turns a full disk into a RuntimeError
            torch.save(state, file)

    return write_atomic(path, write)


def load(path: str | Path) -> dict[str, Any]:
    """The state that `save` wrote, on the CPU. Raises `ValueError` where the file is missing, truncated or not one."""
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about pickles of others before it refuses them
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"no checkpoint at {path}") from None
    except pickle.UnpicklingError:
        raise ValueError(f"{path} is not a checkpoint of this framework, or holds more than plain data") from None
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, ValueError, KeyError) as error:
        raise ValueError(_damaged(path, error)) from None
    if not isinstance(state, dict):
        raise ValueError(f"checkpoint {path} holds a {type(state).__name__}, expected a dict")
    return state


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


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"checkpoint {path} is damaged (truncated?): {reason[:160]}"
