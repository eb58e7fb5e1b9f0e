"""This machine: what timings depend on, and the room there is."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import psutil

from nas.latency.devices.base import Finding
from nas.runs.machine import cpu_model, usable_cores

MIN_FREE_GB = 2.0


def machine() -> list[Finding]:
    """Processor, memory, load, pinning, frequency control."""
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


def disk() -> Finding:
    """Room where run directories go, which is here unless `run_dir=` says otherwise."""
    free = shutil.disk_usage(".").free / 2**30
    if free >= MIN_FREE_GB:
        return "disk", "ok", f"{free:.1f} GB free", ""
    return "disk", "bad", f"{free:.1f} GB free", f"free {MIN_FREE_GB:g} GB"
