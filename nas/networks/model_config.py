"""The schema of a model folder's `config.json`: every field that is there has the type and the range it needs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from nas.runs.stored import Positive, Schema, record
from search_spaces.arch import Arch
from search_spaces.plain_data.annotations import Range

CONFIG: Schema = {"architecture": str, "num_classes": int, "model_args": dict, "pretrained_cfg": dict, "nas": dict}
ABOUT: Schema = {
    "arch_id": str,
    "batch_norm_eps": Annotated[float, Range(1e-12, 0.999)],
    "weights_sha256": str | None,
    "arrays": Literal["uint8", "float32"] | None,
    "code": str | None,
}
MODEL_ARGS: Schema = {"arch": dict | None, "in_chans": int | None, "bn_eps": float | None}
SMALLEST_STD = 1e-30  # of numbers in a unit of their own, which may be tesla or watts; its inverse is a float32
Share = Annotated[float, Range(1e-6, 1)]


def check(model: Any, path: str) -> None:
    """Raise `ValueError` where an entry of the configuration in `path` has another type than is written there."""
    if not isinstance(model, dict) or not isinstance(model.get("nas"), dict):
        raise ValueError(f"{path} was not written by this framework (no 'nas' entry); load it with timm")
    record(model, CONFIG, path)
    record(model["nas"], ABOUT, f"{path}: nas")
    _only(model["model_args"], MODEL_ARGS, f"{path}: model_args")


def check_images(images: dict[str, Any], arch: Arch, path: str) -> None:
    """Raise `ValueError` where the description of images and labels does not fit a network of `arch`.

    Entries that are missing are timm's defaults; `input_size` and the layers' names are not.
    """
    channels, what = arch.in_channels, f"{path}: pretrained_cfg"
    known: Schema = {
        "input_size": tuple[Annotated[int, Range(channels, channels)], Positive, Positive],
        "num_classes": int,
        "mean": _several(float, channels) | None,
        "std": _several(Annotated[float, Range(SMALLEST_STD)], channels) | None,
        "crop_pct": Share | None,
        "crop_mode": Literal["center", "squash", "border"] | None,
        "interpolation": Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"] | None,
        "fixed_input_size": Literal[False] | None,
        "label_names": list[str] | None,
        "first_conv": str,
        "classifier": str,
        "min_input_size": list[Positive] | None,
        "pool_size": list[Positive] | None,
        **dict.fromkeys(("architecture", "license", "description", "paper_name"), str | None),
        "paper_ids": str | list[str] | None,
    }
    _only(images, known, what)
    names = images.get("label_names")
    if names is not None and len(names) != arch.num_classes:
        raise ValueError(f"{what}: label_names must be {arch.num_classes} texts, got {len(names)}")


def _only(values: dict[str, Any], schema: Schema, what: str) -> None:
    """Refuse what does not fit, and entries that timm would take for arguments of its own."""
    record(values, schema, what)
    if unknown := sorted(set(values) - set(schema)):
        raise ValueError(f"{what} has no entry {unknown[0]!r}; it was altered: remove it there")


def _several(kind: Any, count: int) -> Any:
    """The annotation of a list of exactly `count` values of `kind`."""
    return tuple[(kind,) * count]  # type: ignore[misc]
