"""Reading weights, and saying in one line why they do not fit a network."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from nas.networks.network import FlatNetwork, Network, build_network
from nas.runs import checkpoint
from nas.runs.files import read_json
from search_spaces.arch import Arch

SAFETENSORS = ".safetensors"
# Where the weights lie in checkpoints: ours, timm's, torchvision's. Of a training that keeps a moving average, what it
# decided for; before its end the raw weights, since the average has no batch-norm statistics of its own yet.
INSIDE = ("result", "network", "state_dict_ema", "state_dict", "model_ema", "model")
FOLDERS = ("model.safetensors", "model/model.safetensors")  # of a model folder, of a run directory

Shapes = dict[str, tuple[int, ...]]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The state dict in `path`: safetensors, a training checkpoint, a plain state dict; or a model folder or a run.

    Raises `ValueError` where the file is missing, damaged, or holds no weights.
    """
    path = Path(path)
    if path.is_dir():
        inside = [path / name for name in FOLDERS if (path / name).is_file()]
        if not inside:
            raise ValueError(
                f"{path} is neither a model folder nor a run with weights; looked for {', '.join(FOLDERS)}"
            )
        path = inside[0]
    if path.suffix == SAFETENSORS:
        check_digest(path)
        return checkpoint.load_weights(path)
    state: Any = checkpoint.load_foreign(path)
    state = next((state[key] for key in INSIDE if isinstance(state.get(key), Mapping)), state)
    weights = {key.removeprefix("module."): value for key, value in state.items() if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(f"{path} holds no weights; expected safetensors, a checkpoint of nas.train, or a state dict")
    return weights


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_digest(path: str | Path) -> None:
    """Raise `ValueError` where the `config.json` beside the weights in `path` says that they were others."""
    path = Path(path)
    config_path = path.parent / "config.json"
    if not path.is_file() or not config_path.is_file():
        return
    model = read_json(config_path, "model configuration")
    about = model.get("nas") if isinstance(model, Mapping) else None
    known = about.get("weights_sha256") if isinstance(about, Mapping) else None
    if known is not None and digest_of(path) != known:
        raise ValueError(
            f"{path} is not the file that {config_path} was written with: it is damaged or was altered; copy the "
            "folder anew, or, if the weights were changed on purpose, remove nas.weights_sha256 there"
        )


def shapes_in(path: str | Path) -> Shapes:
    """Name and shape of every tensor in a safetensors file, without reading the tensors."""
    return {key: tuple(part.get_shape()) for key, part in _slices_in(path).items()}


def check_types_in(path: str | Path, arch: Arch) -> None:
    """Raise `ValueError` where a safetensors file holds whole numbers for what is floating-point in `arch`'s network.

    Or the other way round: loading would turn one into the other without a word.
    """
    found = {key: part.get_dtype().startswith(("F", "BF")) for key, part in _slices_in(path).items()}
    _check_types({key: is_float for key, (_, is_float) in _tensors_of(arch).items()}, found, str(path))


def _slices_in(path: str | Path) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise ValueError(f"no weights file at {path}") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged (truncated?): {str(error).splitlines()[0]}") from None


def _floats(weights: Mapping[str, Tensor]) -> dict[str, bool]:
    return {key: value.is_floating_point() for key, value in weights.items()}


def _check_types(expected: Mapping[str, bool], found: Mapping[str, bool], origin: str) -> None:
    words = {True: "floating-point", False: "whole or other"}
    for key, is_float in found.items():
        if expected.get(key, is_float) != is_float:
            raise ValueError(
                f"{origin} holds {key} in {words[is_float]} numbers, the network has it in {words[not is_float]} ones: "
                "the file was altered or quantised; give the weights as they were trained"
            )


def network_of(arch: Arch) -> Network | FlatNetwork:
    """The network of `arch` without the memory of its weights."""
    with torch.device("meta"):
        return build_network(arch)


def shapes_of(arch: Arch) -> Shapes:
    """Name and shape of every tensor of the network of `arch`, without allocating it."""
    return {key: shape for key, (shape, _) in _tensors_of(arch).items()}


@functools.lru_cache(maxsize=64)  # a command asks several times, and building takes longer than reading the weights
def _tensors_of(arch: Arch) -> dict[str, tuple[tuple[int, ...], bool]]:
    """Of every tensor of the network of `arch` its shape, and whether it holds floating-point numbers."""
    tensors = network_of(arch).state_dict()
    return {key: (tuple(value.shape), value.is_floating_point()) for key, value in tensors.items()}


def load(network: nn.Module, weights: Mapping[str, Tensor], origin: str = "state dict") -> None:
    """Load `weights` into `network`, all of them. Raises `ValueError` in one line where they do not fit."""
    own = network.state_dict()
    shapes = {key: tuple(value.shape) for key, value in own.items()}
    check_fit(shapes, {key: tuple(value.shape) for key, value in weights.items()}, origin)
    _check_types(_floats(own), _floats(weights), origin)
    network.load_state_dict(weights)


def check_fit(expected: Shapes, found: Shapes, origin: str) -> None:
    """Raise `ValueError` unless names and shapes agree."""
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    differ = [key for key in expected if key in found and expected[key] != found[key]]
    if not (missing or unexpected or differ):
        return
    heads = {"classifier.weight", "classifier.bias", "head.fc.weight", "head.fc.bias"}
    if not missing and not unexpected and set(differ) <= heads:
        classes, wanted = found[differ[0]][0], expected[differ[0]][0]
        raise ValueError(
            f"{origin} has {classes} output classes, the network {wanted}; create it with "
            f"num_classes={classes}, load, and call reset_classifier({wanted})"
        )
    parts = [_part("missing", missing), _part("not in the network", unexpected)]
    if differ:
        key = differ[0]
        parts.append(f"{len(differ)} of another shape (first: {key}, {found[key]} instead of {expected[key]})")
    same = len(expected) - len(missing) - len(differ)
    verdict = "it is of another network" if same < len(expected) / 2 else "it is incomplete or altered"
    raise ValueError(f"{origin} does not fit the network: {', '.join(part for part in parts if part)}; {verdict}")


def _part(what: str, keys: Iterable[str]) -> str:
    keys = list(keys)
    return f"{len(keys)} {what} (first: {keys[0]})" if keys else ""
