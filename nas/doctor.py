"""What of the framework is usable on this machine, and what to install or change for the rest."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import psutil

from nas.latency.devices import TargetDevice, device_of
from nas.latency.devices.base import Finding
from nas.runs.machine import cpu_model, usable_cores
from nas.terminal.entry import DictConfig, check_types, entry, instantiate, plain
from nas.terminal.progress import log, table

REQUIRED = ("torch", "torchvision", "timm", "onnxruntime", "onnx", "optuna", "accelerate", "tensorboard")
OPTIONAL = {
    "ray": "many candidates over many machines",
    "executorch": "export to ExecuTorch, device.runtime=executorch",
    "openvino": "device.runtime=openvino",
    "torchao": "device.runtime=executorch device.dtype=int8",
    "ai_edge_litert": "device.runtime=litert",
    "ai_edge_quantizer": "device.runtime=litert device.dtype=int8",
    "ncnn": "device.runtime=ncnn",
    "pnnx": "device.runtime=ncnn",
    "litert_torch": "export to LiteRT",
}
MIN_FREE_GB = 2.0


@entry("doctor")
def main(cfg: DictConfig) -> None:
    check_types(cfg, {"data_root": str, "tables": str})
    config = plain(cfg)
    asked = device_of(instantiate(cfg.device))
    folders_found = folders(Path(config["data_root"]), Path(config["tables"]))
    findings = [*packages(), *compute(), *machine(), *device(asked), *folders_found]
    marks = {"ok": "ok", "no": "–", "bad": "FAULT"}
    table("this machine", ("what", "", "figure", "note"), [(w, marks[s], f, n) for w, s, f, n in findings])
    faults = [finding for finding in findings if finding[1] == "bad"]
    for what, _, _, fix in faults:
        log(f"{what}: {fix}")
    if faults:
        raise ValueError(f"{len(faults)} of {len(findings)} checks failed: {', '.join(f[0] for f in faults)}")
    log("everything needed works")


def packages() -> list[Finding]:
    """Each package: does it import, and which version."""
    return [_package(name, None) for name in REQUIRED] + [_package(name, use) for name, use in OPTIONAL.items()]


def _package(name: str, optional_use: str | None) -> Finding:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name and optional_use:
            return name, "no", "not installed", f"optional: {optional_use}"
        return name, "bad", "not installed", f"missing {error.name}; run `make test` or pip install {error.name}"
    except Exception as error:  # a broken binary can raise anything
        state = "no" if optional_use else "bad"
        return name, state, "does not import", f"{type(error).__name__}: {str(error).splitlines()[0]}; reinstall it"
    try:
        return name, "ok", metadata.version(name), optional_use or ""
    except metadata.PackageNotFoundError:
        return name, "ok", "version unknown", optional_use or ""


def compute() -> list[Finding]:
    """What torch and ONNX Runtime can run on, each tried with a small product."""
    import onnxruntime
    import torch

    found: list[Finding] = [_try("torch cpu", lambda: str(torch.ones(8, 8) @ torch.ones(8, 8)) and "works")]
    if torch.cuda.is_available():
        found.append(_try("torch cuda", _cuda))
    else:
        built = torch.version.cuda
        found.append(("torch cuda", "no", "not usable", "no NVIDIA driver or GPU" if built else "torch built for CPU"))
    providers = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    found.append(("onnxruntime providers", "ok", ", ".join(providers), ""))
    return found


def _cuda() -> str:
    import torch

    ones = torch.ones(8, 8, device="cuda")
    (ones @ ones).sum().item()
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}, {memory:.0f} GB"


def _try(what: str, work: Callable[[], str]) -> Finding:
    try:
        return what, "ok", work(), ""
    except RuntimeError as error:
        return what, "bad", "fails", str(error).splitlines()[0]


def machine() -> list[Finding]:
    """Processor, memory, pinning, frequency control: what timings depend on."""
    found: list[Finding] = [("python", "ok", platform.python_version(), platform.platform())]
    usable = usable_cores()
    limit = os.environ.get("OMP_NUM_THREADS")
    note = f"; OMP_NUM_THREADS={limit}" if limit else ""
    found.append(("processor", "ok", f"{usable} of {os.cpu_count()} cores", cpu_model() + note))
    memory = psutil.virtual_memory()
    found.append(("memory", "ok", f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GB free", ""))
    load = os.getloadavg()[0]
    busy = "background load slows timings; close other programs" if load > 0.5 * usable else ""
    found.append(("load", "ok", f"{load:.2f}", busy))
    found.append(_pinning())
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor.exists():
        value = governor.read_text().strip()
        hint = "" if value == "performance" else "timings are steadier under 'performance'"
        found.append(("frequency governor", "ok", value, hint))
    return found


def _pinning() -> Finding:
    """Whether a process may choose its core, as the latency measurements do."""
    if not hasattr(os, "sched_setaffinity"):
        return "pinning to a core", "no", "not offered by this system", "timings wander between cores"
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
    except OSError as error:
        return "pinning to a core", "no", "refused", f"{error.strerror}; timings wander between cores"
    os.sched_setaffinity(0, before)
    return "pinning to a core", "ok", "allowed", ""


def device(asked: TargetDevice) -> list[Finding]:
    """Whether the device can do what is asked of its kind, step by step, and what it is."""
    try:
        return asked.findings()
    except (ValueError, OSError) as error:
        return [("device", "bad", "not usable", str(error))]


def folders(data_root: Path, tables: Path) -> list[Finding]:
    """Free disk space, the data sets found, and the latency tables already built."""
    free = shutil.disk_usage(".").free / 2**30
    state = "ok" if free >= MIN_FREE_GB else "bad"
    found: list[Finding] = [("disk", state, f"{free:.1f} GB free", "" if state == "ok" else f"free {MIN_FREE_GB:g} GB")]
    if data_root.is_dir():
        names = sorted(entry.name for entry in data_root.iterdir() if not entry.name.startswith("."))
        found.append((f"data folder {data_root}", "ok", f"{len(names)} entries", ", ".join(names[:6])))
    else:
        found.append((f"data folder {data_root}", "no", "not there", "optional: data=digits needs no folder"))
    count = len(list(tables.glob("*.json"))) if tables.is_dir() else 0
    note = "" if count else "built on first use: python -m nas.latency space=fbnet"
    found.append((f"latency tables in {tables}", "ok" if count else "no", f"{count}", note))
    return found


if __name__ == "__main__":
    main()
