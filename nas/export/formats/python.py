"""A Python file that imports torch alone (`net.py`), and its weights beside it (`net_weights.safetensors`)."""

from __future__ import annotations

import pprint
import types
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.export.formats.base import Format, Run, under_torch

if TYPE_CHECKING:
    from torch import nn

BESIDE = "_weights.safetensors"


def write(network: nn.Module, input_shape: tuple[int, int, int], batch_size: int, path: Path) -> None:
    """Write `network` to `path` for batches of any size, and its weights beside it."""
    import safetensors.torch

    from nas.export.standalone.python_file import text_of
    from nas.export.standalone.python_source import source_of
    from nas.networks.weights import digest_of

    source, beside = source_of(network, input_shape), path.with_name(path.stem + BESIDE)
    tensors = {name: tensor.cpu().contiguous().clone() for name, tensor in source.weights.items()}
    beside.write_bytes(safetensors.torch.save(tensors))
    path.write_text(text_of(source, input_shape, digest_of(beside)), encoding="utf-8")


def describe(path: Path, images: Mapping[str, Any]) -> None:
    """Let the file `path` say how its images are prepared."""
    said = pprint.pformat(dict(images), width=110, compact=True, sort_dicts=False)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("\nIMAGES = {}\n", f"\nIMAGES = {said}\n", 1), encoding="utf-8")


def load(path: Path, threads: int = 1) -> Run:
    """`path`, as its user would import it, but without leaving a compiled copy in that folder."""
    module = types.ModuleType("exported_network")
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return under_torch(module.load())


FORMAT = Format(
    "python",
    ".py",
    "torch",
    "pip install torch",
    write,
    load,
    dynamic_batch=True,
    sets_threads=False,
    beside=BESIDE,
    describe=describe,
)
