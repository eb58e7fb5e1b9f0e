"""PyTorch's eager mode, on a CPU, and on CUDA as a captured graph."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING

from nas.latency.device import Device
from nas.latency.measuring.timing import Copies, Workload, image, timed
from nas.latency.runtimes.base import Runtime

if TYPE_CHECKING:
    from torch import nn


class Torch(Runtime):
    name = "torch"
    dtypes = ("fp32", "bf16")
    processors = ("cpu", "cuda")
    computes_in_caller = True

    def load(self, module: nn.Module, shape: tuple[int, ...], device: Device, count: int) -> Copies:
        load = self._on_cuda if device.processor == "cuda" else self._on_cpu
        return [load(copy.deepcopy(module), shape, device) for _ in range(count)]

    def require_cuda(self) -> None:
        import torch

        if not torch.cuda.is_available():
            raise ValueError("processor=cuda, but torch sees no CUDA device; use processor=cpu")

    def _on_cpu(self, module: nn.Module, shape: tuple[int, ...], device: Device) -> Workload:
        import torch

        dtype = torch.bfloat16 if device.dtype == "bf16" else torch.float32
        module = module.eval().to(dtype)
        x = torch.from_numpy(image(shape)).to(dtype)

        def run() -> None:
            with torch.inference_mode():
                module(x)

        return timed(run, in_calling_thread=self.in_calling_thread(device))

    def _on_cuda(self, module: nn.Module, shape: tuple[int, ...], device: Device) -> Workload:
        """Times by CUDA events around replays of a captured graph: Python's launch cost is neither in nor doubled.

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


RUNTIME = Torch()
