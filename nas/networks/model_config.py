"""The schema of a model folder's `config.json`: every field that is used has the type and the range it needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from search_spaces.arch import Arch

CROP_MODES = ("center", "squash", "border")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")


def check(config: Any, path: str) -> None:
    """Raise `ValueError` where an entry of the configuration in `path` has another type than is written there."""
    if not isinstance(config, Mapping) or not isinstance(config.get("nas"), Mapping):
        raise ValueError(f"{path} was not written by this framework (no 'nas' entry); load it with timm")
    for key, kind in (("pretrained_cfg", Mapping), ("model_args", Mapping), ("architecture", str)):
        if not isinstance(config.get(key), kind):
            raise ValueError(f"{path}: {key!r} must be {_NAMES[kind]}, got {_shown(config.get(key))}")
    eps = config["nas"].get("batch_norm_eps")
    if not _is_number(eps) or not 0 < eps < 1:
        raise ValueError(f"{path}: nas.batch_norm_eps must be a number between 0 and 1, got {_shown(eps)}")
    known = config["nas"].get("weights_sha256")
    if known is not None and not isinstance(known, str):
        raise ValueError(f"{path}: nas.weights_sha256 must be a text, got {_shown(known)}")


def check_images(cfg: Mapping[str, Any], arch: Arch, path: str) -> None:
    """Raise `ValueError` where the description of images and labels does not fit a network of `arch`.

    Entries that are missing are timm's defaults; `input_size` is not.
    """
    size, channels = cfg.get("input_size"), arch.in_channels
    is_size = isinstance(size, list | tuple) and len(size) == 3 and all(type(side) is int and side > 0 for side in size)
    is_size = is_size and size[0] == channels  # type: ignore[index]
    rules: list[tuple[str, bool, str]] = [
        ("input_size", is_size, f"[{channels}, height, width] in pixels"),
        ("mean", _are_numbers(cfg.get("mean"), channels), f"{channels} numbers"),
        ("std", _are_numbers(cfg.get("std"), channels, above=0), f"{channels} numbers above 0"),
        ("crop_pct", _is_number(cfg.get("crop_pct")) and 0 < cfg["crop_pct"] <= 1, "a number above 0 and at most 1"),
        ("crop_mode", cfg.get("crop_mode") in CROP_MODES, f"one of {', '.join(CROP_MODES)}"),
        ("interpolation", cfg.get("interpolation") in INTERPOLATIONS, f"one of {', '.join(INTERPOLATIONS)}"),
        ("fixed_input_size", cfg.get("fixed_input_size") is False, "false"),
        ("label_names", _are_texts(cfg.get("label_names"), arch.num_classes), f"{arch.num_classes} texts"),
    ]
    for key, holds, wanted in rules:
        if not holds and (key == "input_size" or cfg.get(key) is not None):
            raise ValueError(f"{path}: pretrained_cfg.{key} must be {wanted}, got {_shown(cfg.get(key))}")


_NAMES = {Mapping: "a mapping", str: "a text"}


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _are_numbers(value: Any, count: int, above: float = -math.inf) -> bool:
    listed = isinstance(value, list | tuple) and len(value) == count
    return listed and all(_is_number(number) and number > above for number in value)


def _are_texts(value: Any, count: int) -> bool:
    return isinstance(value, list | tuple) and len(value) == count and all(isinstance(text, str) for text in value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:70]}..."
