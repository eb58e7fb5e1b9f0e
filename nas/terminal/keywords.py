"""The keywords of the functions for Python (`nas.run_search` and its like), as type checkers and editors see them.

Each is a key of the configuration of the command of the same purpose; those of type Any are cards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from search_spaces.arch import Arch


class SearchKeywords(TypedDict, total=False):
    """Keywords of `run_search`; `conf/search.yaml` explains each."""

    space: Any
    data: Any
    device: Any
    method: Any
    recipe: Any
    recipe_space: Any
    predictor: Any
    executor: Any
    pretraining: Any
    experiment: str
    latency_ms: float
    fraction: float
    macs: int
    params: int
    memory_kib: float
    weights_kib: float
    energy_mj: float
    budget: Mapping[str, Any]
    latency: str
    arch: str | Path | Arch
    search: Mapping[str, Any]
    derive: Mapping[str, Any]
    train: Mapping[str, Any]
    teacher: str | Path
    teacher_weights: str | Path
    tables: str | Path
    seed: int
    trackers: Sequence[str]
    accelerator: str
    precision: str
    run_dir: str | Path
    resume: str | Path
    overrides: Sequence[str]


class DeriveKeywords(TypedDict, total=False):
    """Keywords of `derive_from`; `conf/derive.yaml` explains each. Cards are those of code of your own."""

    latency_ms: float
    fraction: float
    macs: int
    params: int
    memory_kib: float
    weights_kib: float
    energy_mj: float
    budget: Mapping[str, Any]
    mode: str
    count: int
    use: float
    measure: bool
    candidates: int
    train: Mapping[str, Any]
    teacher: str | Path
    teacher_weights: str | Path
    tables: str | Path
    seed: int
    out: str | Path
    space: Any
    data: Any
    method: Any
    predictor: Any
    recipe: Any
    recipe_space: Any
    device: Any
    executor: Any
    overrides: Sequence[str]


class TableKeywords(TypedDict, total=False):
    """Keywords of `build_table`; `conf/latency.yaml` explains each."""

    space: Any
    device: Any
    tables: str | Path
    effort: Mapping[str, Any]
    seed: int
    refresh: bool
    pin: bool
    overrides: Sequence[str]


class TrainKeywords(TypedDict, total=False):
    """Keywords of `train_arch`; `conf/train.yaml` explains each."""

    data: Any
    recipe: Any
    initial_weights: str | Path
    teacher: str | Path
    teacher_weights: str | Path
    freeze: str | Sequence[str]
    layer_decay: float
    quantize: str
    evaluate_every: int
    seed: int
    trackers: Sequence[str]
    accelerator: str
    precision: str
    run_dir: str | Path
    resume: str | Path
    overrides: Sequence[str]


class EvaluateKeywords(TypedDict, total=False):
    """Keywords of `evaluate_model`; `conf/evaluate.yaml` explains each."""

    data: Any
    device: Any
    checkpoint: str | Path
    batch_size: int
    resolutions: Sequence[Any]
    measure: bool
    seed: int
    accelerator: str
    precision: str
    run_dir: str | Path
    overrides: Sequence[str]


class ExportKeywords(TypedDict, total=False):
    """Keywords of `export_model`; `conf/export.yaml` explains each."""

    data: Any
    device: Any
    checkpoint: str | Path
    format: str
    output: str | Path
    batch_size: int
    tolerance: float
    calibration_images: int
    calibration: str
    largest_drop: float
    measure: bool
    seed: int
    overrides: Sequence[str]
