"""What a runtime declares: which arithmetic and processors it has, whose versions count, and how it runs a module."""

from __future__ import annotations

import importlib.util
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nas.latency.device import Device, version
from nas.latency.elsewhere import client
from nas.latency.measuring.timing import Copies, Workload, timed
from nas.latency.placement import Placement

if TYPE_CHECKING:
    import onnx
    from torch import nn


@dataclass(frozen=True, slots=True)
class Package:
    """A package that a runtime needs: how it is imported, what pip calls it, and the least version that serves."""

    module: str
    pip: str
    least: str = "0"

    def fault(self) -> str | None:
        """Why it does not serve here; None where it does."""
        if importlib.util.find_spec(self.module) is None:
            return f"{self.pip} is not installed"
        found = version(self.pip)
        if found is not None and _numbers(found) < _numbers(self.least):
            return f"{self.pip} {found} is too old"
        return None

    @property
    def requirement(self) -> str:
        return self.pip if self.least == "0" else f"'{self.pip}>={self.least}'"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.split("+")[0].split(".dev")[0])[:3])


class Runtime(ABC):
    """Something that executes networks on this machine; `device.runtime` names it.

    `dtypes` is the arithmetic it offers (`device.dtype`), `processors` where it runs, `packages` those whose versions a
    table records, `identified_by` (of them; by default the one it is called after) those that times depend on, `needs`
    those that are not installed with us, `needs_int8` those for 8 bits beside them. `computes_in_caller`: with one
    thread on a CPU, all of a call is computed in the thread that calls, so that the time in which the system took the
    core away may be left out (see `timing.timed`).
    """

    name: ClassVar[str]
    dtypes: ClassVar[Sequence[str]]
    processors: ClassVar[Sequence[str]] = ("cpu",)
    packages: ClassVar[Sequence[str]] = ("torch",)
    identified_by: ClassVar[Sequence[str]] = ()
    needs: ClassVar[Sequence[Package]] = ()
    needs_int8: ClassVar[Sequence[Package]] = ()
    computes_in_caller: ClassVar[bool] = False
    largest_batch: ClassVar[int | None] = None

    @abstractmethod
    def load(self, module: nn.Module, shape: tuple[int, ...], device: Device, count: int) -> Copies:
        """`module` in eval mode, loaded `count` times to run on inputs of `shape` (batch, channels, height, width)."""

    def prepared(self, module: nn.Module, shape: tuple[int, ...], device: Device) -> Callable[[int], Copies]:
        """`load`, of which all is done that several processes need not do again: they call it with their `count`."""
        return lambda count: self.load(module, shape, device, count)

    def placement(self, module: nn.Module, shape: tuple[int, ...], device: Device) -> Placement:
        """Where the operators of `module` run when it is loaded; by default a runtime runs all as it was asked to."""
        return Placement()

    def require_cuda(self) -> None:
        """Raise `ValueError` with the way out where this machine has no GPU; needed where `cuda` is a processor."""
        raise ValueError(
            f"runtime {self.name} lists cuda among its processors and has no require_cuda(), which checks for a GPU; "
            "define it, or measure on the CPU: device.processor=cpu"
        )

    def in_calling_thread(self, device: Device) -> bool:
        """Whether a call for `device` is computed by its caller alone."""
        return self.computes_in_caller and device.processor == "cpu" and device.threads == 1

    def check(self, device: Device) -> None:
        """Raise `ValueError` where it cannot measure for `device` in this interpreter, naming the way out."""
        if device.python is not None:
            raise ValueError(
                f"runtime {self.name} is given torch modules, which live in this interpreter alone: leave out "
                "device.python, or take a runtime that is given graphs (docs/runtimes.md)"
            )
        self.check_here(device)

    def check_offered(self, device: Device) -> None:
        """Raise `ValueError` where it has no such arithmetic, processor or batches, on whatever machine."""
        for what, value, known in (
            ("dtype", device.dtype, self.dtypes),
            ("processor", device.processor, self.processors),
        ):
            if value not in known:
                raise ValueError(f"runtime {self.name} does not measure {what}={value}; one of {', '.join(known)}")
        if self.largest_batch is not None and device.batch_size > self.largest_batch:
            raise ValueError(
                f"runtime {self.name} takes at most {self.largest_batch} image a call, got device.batch_size="
                f"{device.batch_size}; set device.batch_size={self.largest_batch}"
            )

    def check_here(self, device: Device) -> None:
        """As `check`, in the interpreter in which the runtime runs."""
        needed = self.needed(device.dtype)
        faults = {package: fault for package in needed if (fault := package.fault())}
        if faults:
            pip = "pip" if device.python is None else f"{sys.executable} -m pip"
            line = f"{pip} install {' '.join(package.requirement for package in faults)}"
            other = "" if device.python else ", here or into another environment, named by device.python=<its python>"
            raise ValueError(f"runtime {self.name}: {'; '.join(faults.values())}; {line}{other}")
        if device.processor == "cuda":
            self.require_cuda()

    def needed(self, dtype: str) -> Sequence[Package]:
        """The packages that are not installed with us and that `dtype` needs."""
        return (*self.needs, *(self.needs_int8 if dtype == "int8" else ()))

    def _more(self, dtype: str) -> list[str]:
        return [package.pip for package in self.needed(dtype) if package not in self.needs]

    def versions(self, device: Device) -> dict[str, Any]:
        """The versions that a table records, and under the runtime's own name what identifies it."""
        return self.versions_here(device.dtype)

    def versions_here(self, dtype: str) -> dict[str, Any]:
        """As `versions`, in the interpreter in which the runtime runs."""
        return self.identified({name: version(name) for name in (*self.packages, *self._more(dtype))}, dtype)

    def identified(self, versions: Mapping[str, str | None], dtype: str) -> dict[str, Any]:
        """What a table of `dtype` records of `versions`, those of `packages` among them."""
        found = {name: versions.get(name) for name in (*self.packages, *self._more(dtype))}
        named = (*(self.identified_by or (self.name,)), *self._more(dtype))
        own = found.get(named[0]) if len(named) == 1 else ", ".join(f"{name} {found.get(name)}" for name in named)
        return {**found, self.name: own}


@dataclass(frozen=True)
class Session:
    """A network loaded to run on the image of `timing.image`.

    `run` computes it once; `output` gives what the last run computed, (batch, ...); `placement` where it computed it.
    `keeps`: what the runtime reads while it runs and does not keep itself, such as the bytes of a program.
    """

    run: Callable[[], Any]
    output: Callable[[], np.ndarray]
    placement: Callable[[], Placement] = Placement
    keeps: tuple[Any, ...] = ()

    def timed(self, in_calling_thread: bool) -> Workload:
        """Times of `run` (see `timing.timed`), for as long as all of the session is needed: it lives with them."""
        return _Held(timed(self.run, in_calling_thread), self)


@dataclass(frozen=True)
class _Held:
    """A `Workload`, and the session it belongs to."""

    workload: Workload
    session: Session

    def __call__(self, calls: int) -> list[float]:
        return self.workload(calls)


class SessionRuntime(Runtime):
    """A runtime that is told by its sessions."""

    @abstractmethod
    def sessions(self, module: nn.Module, shape: tuple[int, ...], device: Device, count: int) -> Sequence[Session]:
        """`module`, loaded `count` times in this interpreter."""

    def load(self, module: nn.Module, shape: tuple[int, ...], device: Device, count: int) -> Copies:
        in_caller = self.in_calling_thread(device)
        return [session.timed(in_caller) for session in self.sessions(module, shape, device, count)]

    def placement(self, module: nn.Module, shape: tuple[int, ...], device: Device) -> Placement:
        return self.sessions(module, shape, device, 1)[0].placement()

    def output(self, module: nn.Module, shape: tuple[int, ...], device: Device) -> np.ndarray:
        """What the loaded `module` computes of `timing.image(shape)`."""
        (session,) = self.sessions(module, shape, device, 1)
        session.run()
        return session.output()


class GraphRuntime(SessionRuntime):
    """A runtime that is given an ONNX graph, and therefore runs in any interpreter: in that of `device.python`.

    `quantises`: it is given a graph of floats for 8 bits too, which it makes of them itself. `weights_matter`: it is
    given the weights themselves. Where preparing takes so long that what was prepared is kept, it is timed with
    stand-ins, which are the same for all networks of one shape.
    """

    quantises: ClassVar[bool] = False
    weights_matter: ClassVar[bool] = True

    @abstractmethod
    def open(self, graph: bytes, shape: tuple[int, ...], device: Device, count: int) -> Sequence[Session]:
        """The ONNX model `graph`, whose input `input` has `shape`, loaded `count` times in this interpreter."""

    def graph(self, module: nn.Module, shape: tuple[int, ...], device: Device) -> bytes:
        return onnx_model(module, shape, "fp32" if self.quantises else device.dtype).SerializeToString()

    def _timed_graph(self, module: nn.Module, shape: tuple[int, ...], device: Device) -> bytes:
        from nas.latency.graphs.stand_in import stand_in  # here: it imports onnx

        graph = self.graph(module, shape, device)
        return graph if self.weights_matter else stand_in(graph)

    def sessions(self, module: nn.Module, shape: tuple[int, ...], device: Device, count: int) -> Sequence[Session]:
        return self.open(self.graph(module, shape, device), shape, device, count)

    def load(self, module: nn.Module, shape: tuple[int, ...], device: Device, count: int) -> Copies:
        return self._loaded(self._timed_graph(module, shape, device), shape, device, count)

    def prepared(self, module: nn.Module, shape: tuple[int, ...], device: Device) -> Callable[[int], Copies]:
        if type(self).load is not GraphRuntime.load:  # how it is loaded is the runtime's own affair
            return super().prepared(module, shape, device)
        graph = self._timed_graph(module, shape, device)
        return lambda count: self._loaded(graph, shape, device, count)

    def _loaded(self, graph: bytes, shape: tuple[int, ...], device: Device, count: int) -> Copies:
        if device.python is not None:
            return client.load(device, type(self).__module__, graph, shape, count)
        in_caller = self.in_calling_thread(device)
        return [session.timed(in_caller) for session in self.open(graph, shape, device, count)]

    def placement(self, module: nn.Module, shape: tuple[int, ...], device: Device) -> Placement:
        graph = self._timed_graph(module, shape, device)
        if device.python is not None:
            return client.placement(device, type(self).__module__, graph, shape)
        return self.open(graph, shape, device, 1)[0].placement()

    def output(self, module: nn.Module, shape: tuple[int, ...], device: Device) -> np.ndarray:
        if device.python is None:
            return super().output(module, shape, device)
        return client.output(device, type(self).__module__, self.graph(module, shape, device), shape)

    def check(self, device: Device) -> None:
        if device.python is None:
            self.check_here(device)
        else:
            client.check(device, type(self).__module__)

    def versions(self, device: Device) -> dict[str, Any]:
        return super().versions(device) if device.python is None else client.versions(device, type(self).__module__)


def onnx_model(module: nn.Module, shape: tuple[int, ...], dtype: str) -> onnx.ModelProto:
    """The graph that runtimes are given for `module` on inputs of `shape` (batch first) in the arithmetic `dtype`.

    Eight bits are written into the graph; narrower floats are the runtime's own affair.
    """
    from nas.latency.measuring.onnx_graph import to_onnx

    model = to_onnx(module, shape)
    if dtype == "int8":
        from nas.latency.measuring.quantize import quantize

        return quantize(model, shape)
    return model
