"""Timing one workload: clocks, inputs, ONNX Runtime, and the machine it is done on.

Part of the script that a kit carries (see `kit_script`): nothing but Python, numpy and onnxruntime is imported.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.runs.machine import cpu_model, usable_cores

try:
    import resource
except ImportError:  # a system without it
    resource = None  # type: ignore[assignment]

Workload = Callable[[int], "list[float]"]
"""`workload(n)` runs one batch n times and returns the n times in milliseconds."""
Copies = Sequence[Workload]
"""One workload, loaded as many times: what lies where in memory differs, and with it the time (3% for small nets)."""

PREEMPTED = 1.03  # wall-clock over running time from which a call counts as interrupted by another process
MEASURING = 3  # raised where what is measured changes; 1 timed in one process, 2 took all references at their word
MEASURING_INT8 = 4  # and this where it does for graphs of 8 bits; 1 computed some convolutions in floats
MEMORY_SHARE = 0.4  # of the free memory, for networks held ready at a time
BYTES_PER_PARAM = 12  # a weight, its packed copy, and activations beside them


def measuring_version(dtype: str) -> int:
    """The version of the measuring code for `dtype`, which tables state and are compared by."""
    return MEASURING_INT8 if dtype == "int8" else MEASURING


def timed(run: Callable[[], Any], in_calling_thread: bool = False) -> Workload:
    """Wall-clock times of `run`.

    Where all of `run` is computed `in_calling_thread`, a call during which the system took the core away from it counts
    the time it ran itself. On a machine that is left alone the two clocks agree, and a call takes what its caller
    waits. A call that gave its core up by waiting (for a disk, a lock, another thread, a sleep) counts the wait.
    """

    def workload(calls: int) -> list[float]:
        times = []
        for _ in range(calls):
            gave_up = _waits() if in_calling_thread else 0
            ran = time.thread_time_ns() if in_calling_thread else 0
            start = time.perf_counter_ns()
            run()
            took = time.perf_counter_ns() - start
            if in_calling_thread:
                ran = time.thread_time_ns() - ran
                if took > PREEMPTED * ran and _waits() == gave_up:
                    took = ran
            times.append(took * 1e-6)
        return times

    return workload


def _waits() -> int:
    """How often this thread gave its core up of its own accord; where the system does not say, each time differs."""
    try:
        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    except AttributeError:
        return time.perf_counter_ns()


def image(shape: tuple[int, ...]) -> np.ndarray:
    """Noise in the range of normalised images: zeros would meet shortcuts, huge values denormals behind them."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def onnx_workload(
    model: bytes | str, shape: tuple[int, ...], threads: int, processor: str, in_calling_thread: bool
) -> Workload:
    """An ONNX model under ONNX Runtime, to be timed (see `onnx_session`). `in_calling_thread`: see `timed`."""
    session, binding = onnx_session(model, shape, threads, processor)
    return timed(lambda: session.run_with_iobinding(binding), in_calling_thread)


def onnx_session(model: bytes | str, shape: tuple[int, ...], threads: int, processor: str) -> tuple[Any, Any]:
    """An ONNX model under ONNX Runtime: full graph optimisation, bound buffers, so that only execution is timed."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    provider = "CUDAExecutionProvider" if processor == "cuda" else "CPUExecutionProvider"
    session = onnxruntime.InferenceSession(model, options, providers=[provider])
    binding = session.io_binding()
    binding.bind_cpu_input("input", image(shape))
    binding.bind_output("output", "cpu")
    return session, binding


def capacity() -> int:
    """Parameters of all networks that may be held ready at a time."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        free = 4 * 2**30  # a system that does not say
    return max(50_000_000, int(MEMORY_SHARE * free / BYTES_PER_PARAM))


def check_threads(threads: int) -> None:
    """Raise `ValueError` where `threads` threads would share fewer cores: a time filed as theirs would not be."""
    usable, cores = usable_cores(), os.cpu_count()
    if threads > usable:
        least = "" if usable == cores else f", of which its affinity or control group leaves this process {usable}"
        raise ValueError(f"device threads={threads}, but this machine has {cores} cores{least}; use at most {usable}")


def machine() -> dict[str, Any]:
    """What a reader needs to judge or repeat a measurement: processor, cores, system, versions, time."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
