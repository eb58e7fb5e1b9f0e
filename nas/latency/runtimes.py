"""Making a module ready to be timed by a runtime."""

from __future__ import annotations

import copy
import gc
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nas.latency.device import Device
from nas.latency.measuring.standalone import Copies, Workload, image, onnx_workload, timed

if TYPE_CHECKING:
    import onnx
    from torch import nn


def prepare(module: nn.Module, input_shape: tuple[int, int, int], device: Device) -> Workload:
    """`module` in eval mode, ready to be timed for `device` on batches of images of `input_shape`."""
    return prepare_copies(module, input_shape, device, 1)[0]


def prepare_copies(module: nn.Module, input_shape: tuple[int, int, int], device: Device, count: int) -> Copies:
    """`module` loaded `count` times. What lies where in memory differs, and with it the time."""
    shape = (device.batch_size, *input_shape)
    if device.runtime == "onnxruntime":
        model = onnx_model(module, shape, device.dtype).SerializeToString()
        return [onnx_workload(model, shape, device.threads, device.processor) for _ in range(count)]
    load = _cuda_workload if device.processor == "cuda" else _torch_workload
    return [load(copy.deepcopy(module), shape, device) for _ in range(count)]


def onnx_model(module: nn.Module, shape: tuple[int, ...], dtype: str) -> onnx.ModelProto:
    """The graph ONNX Runtime is given for `module` on inputs of `shape` (batch first) in the arithmetic `dtype`."""
    from nas.latency.measuring.onnx_graph import to_onnx

    model = to_onnx(module, shape)
    if dtype == "int8":
        from nas.latency.measuring.quantize import quantize

        return quantize(model, shape)
    return model


def _torch_workload(module: nn.Module, shape: tuple[int, ...], device: Device) -> Workload:
    import torch

    dtype = torch.bfloat16 if device.dtype == "bf16" else torch.float32
    module = module.eval().to(dtype)
    x = torch.from_numpy(image(shape)).to(dtype)

    def run() -> None:
        with torch.inference_mode():
            module(x)

    return timed(run, in_calling_thread=device.threads == 1)


def _cuda_workload(module: nn.Module, shape: tuple[int, ...], device: Device) -> Workload:
    """Times by CUDA events around replays of a captured graph, so that Python's launch cost is neither in nor doubled.

    Channels-last, which is what convolutions run fastest in.
    """
    import torch

    dtype = torch.bfloat16 if device.dtype == "bf16" else torch.float32
    module = module.eval().to("cuda", dtype).to(memory_format=torch.channels_last)
    x = torch.from_numpy(image(shape)).to("cuda", dtype).to(memory_format=torch.channels_last)
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
