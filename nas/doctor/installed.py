"""Which packages and runtimes are installed, and the pip line of what is not. Nothing heavy is imported."""

from __future__ import annotations

import importlib.util
from importlib import metadata

from nas.latency.device import Device
from nas.latency.devices.base import Finding
from nas.latency.runtimes import NAMES, runtime_named

REQUIRED = ("torch", "torchvision", "timm", "onnxruntime", "onnx", "optuna", "accelerate", "tensorboard")
OPTIONAL = {
    "ray": "many candidates over many machines",
    "pyarrow": "data=huggingface",
    "executorch": "export to ExecuTorch, device.runtime=executorch",
    "openvino": "device.runtime=openvino",
    "torchao": "device.runtime=executorch device.dtype=int8",
    "ai_edge_litert": "device.runtime=litert",
    "ai_edge_quantizer": "device.runtime=litert device.dtype=int8",
    "ncnn": "device.runtime=ncnn",
    "pnnx": "device.runtime=ncnn",
    "litert_torch": "export to LiteRT",
}


def packages() -> list[Finding]:
    """Each package: whether it is installed, which version, and else what it is for and how to get it."""
    return [_package(name, None) for name in REQUIRED] + [_package(name, use) for name, use in OPTIONAL.items()]


def is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _package(module: str, optional_use: str | None) -> Finding:
    pip = module.replace("_", "-")
    if not is_installed(module):
        if optional_use is None:
            return module, "bad", "not installed", f"install it: pip install {pip}, or `make test`"
        return module, "no", "not installed", f"optional, {optional_use}: pip install {pip}"
    try:
        return module, "ok", metadata.version(pip), optional_use or ""
    except metadata.PackageNotFoundError:
        return module, "ok", "version unknown", optional_use or ""


def runtimes() -> list[Finding]:
    """Each runtime: its version and arithmetic, or what it lacks and how to get it."""
    return [_runtime(name) for name in NAMES]


def _runtime(name: str) -> Finding:
    runtime = runtime_named(name)
    usable, lacking = [], ""
    for dtype in runtime.dtypes:
        try:
            runtime.check_here(Device(runtime=name, dtype=dtype))
            usable.append(dtype)
        except ValueError as error:
            lacking = lacking or str(error).removeprefix(f"runtime {name}: ")
    if not usable:
        return name, "no", "not usable", lacking
    note = ", ".join(usable) + (f" ({lacking})" if lacking else "")
    return name, "ok", str(runtime.versions_here(usable[0])[name]), note
