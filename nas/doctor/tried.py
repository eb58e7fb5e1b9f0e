"""What only trying shows: packages that do not import, arithmetic that fails."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

from nas.doctor.installed import OPTIONAL, REQUIRED, is_installed
from nas.latency.devices.base import Finding


def imports() -> Iterator[Finding]:
    """The packages that are installed and do not import, and how many do."""
    installed = [name for name in (*REQUIRED, *OPTIONAL) if is_installed(name)]
    broken = [finding for name in installed if (finding := _broken(name)) is not None]
    yield from broken
    yield "imports", "ok", f"{len(installed) - len(broken)} of {len(installed)} packages", ""


def _broken(module: str) -> Finding | None:
    state = "no" if module in OPTIONAL else "bad"
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        return module, state, "does not import", f"missing {error.name}: pip install {error.name}"
    except Exception as error:  # a broken binary can raise anything
        said = next(iter(str(error).splitlines()), "no details")
        return module, state, "does not import", f"{type(error).__name__}: {said}; reinstall it"
    return None


def compute() -> Iterator[Finding]:
    """What torch and ONNX Runtime can run on, each tried with a small product."""
    import torch

    yield _try("torch cpu", _cpu)
    if torch.cuda.is_available():
        yield _try("torch cuda", _cuda)
    else:
        built = torch.version.cuda
        yield "torch cuda", "no", "not usable", "no NVIDIA driver or GPU" if built else "torch built for CPU"
    yield _try("onnxruntime providers", _providers)


def _cpu() -> str:
    import torch

    if float((torch.ones(8, 8) @ torch.ones(8, 8)).sum()) != 512:
        raise RuntimeError("a product of matrices is wrong; reinstall torch")
    return "works"


def _cuda() -> str:
    import torch

    ones = torch.ones(8, 8, device="cuda")
    (ones @ ones).sum().item()
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}, {memory:.0f} GB"


def _providers() -> str:
    import onnxruntime

    return ", ".join(name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers())


def _try(what: str, work: Callable[[], str]) -> Finding:
    try:
        return what, "ok", work(), ""
    except (RuntimeError, ImportError) as error:
        return what, "bad", "fails", next(iter(str(error).splitlines()), "no details")
