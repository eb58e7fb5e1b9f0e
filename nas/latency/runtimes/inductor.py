"""torch.compile's default backend, which writes C++ and compiles it: weights frozen, shapes fixed."""

from __future__ import annotations

import copy
import os
import shutil
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.latency.device import Device
from nas.latency.measuring.timing import image
from nas.latency.runtimes.base import Session, SessionRuntime

if TYPE_CHECKING:
    from torch import nn

COMPILERS = ("g++", "c++", "clang++")


class Inductor(SessionRuntime):
    """Compiling takes seconds for every block and network; torch keeps what it compiled in its own cache on disk."""

    name = "inductor"
    dtypes = ("fp32", "bf16")
    identified_by = ("torch",)
    computes_in_caller = True

    def check_here(self, device: Device) -> None:
        super().check_here(device)
        wanted = os.environ.get("CXX")
        if not any(shutil.which(name) for name in ([wanted] if wanted else COMPILERS)):
            looked = f"CXX={wanted} is no program" if wanted else f"none of {', '.join(COMPILERS)} is on the PATH"
            raise ValueError(
                f"runtime inductor compiles C++, and {looked}; install a compiler (apt install g++, or conda install "
                "cxx-compiler), or name one: CXX=/path/to/g++"
            )

    def sessions(self, module: nn.Module, shape: tuple[int, ...], device: Device, count: int) -> Sequence[Session]:
        return [_session(copy.deepcopy(module), shape, device) for _ in range(count)]


def _session(module: nn.Module, shape: tuple[int, ...], device: Device) -> Session:
    """`module` is exported first, so that its code is its own: torch compiles one function for few shapes only."""
    import torch

    dtype = torch.bfloat16 if device.dtype == "bf16" else torch.float32
    x = torch.from_numpy(image(shape)).to(dtype)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch itself uses
        program = torch.export.export(module.eval().to(dtype), (x,)).module()
        compiled = torch.compile(program, fullgraph=True, dynamic=False, options={"freezing": True})
        compiled(x)
    last: list[torch.Tensor] = []

    def run() -> None:
        with torch.no_grad():
            last[:] = [compiled(x)]

    def output() -> np.ndarray:
        return last[0].float().numpy()

    return Session(run, output)


RUNTIME = Inductor()
