"""Our own sources in a kit, for runtimes that are given torch modules: the board builds them as this machine would."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import search_spaces
from nas.latency.device import KIT_RUNTIME
from nas.latency.runtimes import runtime_named
from nas.latency.runtimes.base import GraphRuntime, Package
from search_spaces.arch import Arch, modules_of
from search_spaces.blocks import Layer

TORCH = (Package("torch", "torch"), Package("timm", "timm"))
WHEN = (2020, 1, 1, 0, 0, 0)  # of every file in it: the same sources are the same bytes


def needed(runtime: str, dtype: str = "fp32") -> tuple[Package, ...]:
    """What an interpreter needs that measures a kit of `runtime` in `dtype`. Raises `ValueError` for an unknown one."""
    found = {"numpy": Package("numpy", "numpy")}
    named = runtime_named(runtime)
    more: list[Package] = []
    if runtime != KIT_RUNTIME:
        more += [*TORCH, *((Package("onnx", "onnx"),) if isinstance(named, GraphRuntime) else ())]
    for package in (*more, *named.needed(dtype)):
        found[package.module] = package
    return tuple(found.values())


def write_sources(path: Path) -> None:
    """All modules of ours, in the zip archive `path`, which Python imports from as it lies there."""
    packages = {"nas": Path(__file__).parents[2], "search_spaces": Path(str(search_spaces.__file__)).parent}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, folder in packages.items():
            for file in sorted(folder.rglob("*.py")):
                entry = zipfile.ZipInfo(f"{name}/{file.relative_to(folder).as_posix()}", WHEN)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, file.read_bytes())


def modules_there(layers: Iterable[Layer], archs: Iterable[Arch]) -> list[str]:
    """The modules that define `layers` and those of `archs`. Raises `ValueError` for one that is not among ours."""
    names = {type(layer).__module__ for layer in layers} | {name for arch in archs for name in modules_of(arch)}
    for name in sorted(names):
        if not name.startswith("search_spaces."):
            raise ValueError(
                f"{name} defines a block kind of your own, which a kit of torch modules cannot carry; measure it under "
                f"device.runtime={KIT_RUNTIME}, which is given graphs"
            )
    return sorted(names)
