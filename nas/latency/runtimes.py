"""Making a module ready to be timed by a runtime."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.latency.device import Device

if TYPE_CHECKING:
    from torch import nn

Workload = Callable[[int], list[float]]
"""`workload(n)` runs one batch n times and returns the n times in milliseconds."""


PREEMPTED = 1.03  # wall-clock over running time from which a call counts as interrupted by another process


def prepare(module: nn.Module, input_shape: tuple[int, int, int], device: Device) -> Workload:
    """`module` in eval mode, ready to be timed for `device` on batches of images of `input_shape`."""
    shape = (device.batch_size, *input_shape)
    if device.runtime == "onnxruntime":
        from nas.latency.onnx_graph import to_onnx

        return onnx_workload(to_onnx(module, shape).SerializeToString(), shape, device)
    if device.processor == "cuda":
        return _cuda_workload(module, shape, device)
    return _torch_workload(module, shape, device)


def onnx_workload(model: bytes, shape: tuple[int, ...], device: Device) -> Workload:
    """An ONNX model under ONNX Runtime: full graph optimisation, bound buffers, so that only execution is timed."""
    import onnxruntime

    if device.dtype == "int8":
        from nas.latency.quantize import quantize

        model = quantize(model, shape)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = device.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    provider = "CUDAExecutionProvider" if device.processor == "cuda" else "CPUExecutionProvider"
    session = onnxruntime.InferenceSession(model, options, providers=[provider])
    binding = session.io_binding()
    binding.bind_cpu_input("input", _image(shape))
    binding.bind_output("output", "cpu")

    def run() -> None:
        session.run_with_iobinding(binding)

    return _timed(run, device.threads)


def _image(shape: tuple[int, ...]) -> np.ndarray:
    """Noise in the range of normalised images: zeros would meet shortcuts, huge values denormals behind them."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _timed(run: Callable[[], Any], threads: int) -> Workload:
    """Wall-clock times of `run`.

    On one thread, a call during which the system gave the core to another process counts the time it ran itself. On a
    machine that is left alone the two clocks agree, and a call takes what its caller waits.
    """
    alone = threads == 1

    def workload(calls: int) -> list[float]:
        times = []
        for _ in range(calls):
            ran = time.thread_time_ns() if alone else 0
            start = time.perf_counter_ns()
            run()
            waited = time.perf_counter_ns() - start
            if alone:
                ran = time.thread_time_ns() - ran
                if waited > PREEMPTED * ran:
                    waited = ran
            times.append(waited * 1e-6)
        return times

    return workload


def _torch_workload(module: nn.Module, shape: tuple[int, ...], device: Device) -> Workload:
    import torch

    dtype = torch.bfloat16 if device.dtype == "bf16" else torch.float32
    module = module.eval().to(dtype)
    x = torch.from_numpy(_image(shape)).to(dtype)

    def run() -> None:
        with torch.inference_mode():
            module(x)

    return _timed(run, device.threads)


def _cuda_workload(module: nn.Module, shape: tuple[int, ...], device: Device) -> Workload:
    """Times by CUDA events around replays of a captured graph, so that Python's launch cost is neither in nor doubled.

    Channels-last, which is what convolutions run fastest in.
    """
    import torch

    dtype = torch.bfloat16 if device.dtype == "bf16" else torch.float32
    module = module.eval().to("cuda", dtype).to(memory_format=torch.channels_last)
    x = torch.from_numpy(_image(shape)).to("cuda", dtype).to(memory_format=torch.channels_last)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(stream):
        for _ in range(3):
            module(x)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        module(x)

    def workload(calls: int) -> list[float]:
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(calls + 1)]
        marks[0].record()
        for mark in marks[1:]:
            graph.replay()
            mark.record()
        torch.cuda.synchronize()
        return [a.elapsed_time(b) for a, b in itertools.pairwise(marks)]

    return workload


@contextmanager
def quiet(device: Device) -> Iterator[None]:
    """The conditions of every measurement: `device.threads` torch threads and no garbage collection meanwhile."""
    import torch

    threads = torch.get_num_threads()
    collecting = gc.isenabled()
    torch.set_num_threads(device.threads)
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if collecting:
            gc.enable()
