"""Memory and weights by brute force: what a built network calls, call by call, and who reads each tensor when.

Nothing here knows of blocks: the calls that torch is asked for are recorded while the network runs on tensors that
have shapes and no content.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nas.networks.network import build_network
from search_spaces.arch import Arch
from search_spaces.memory.counted import Counted

ELEMENT = {"fp32": 4, "int8": 1}
BIAS = 4
HANDED_ON = {"dropout", "pad", "flatten", "reshape", "view", "contiguous", "getitem"}  # the same elements, or a part
ELEMENT_WISE = {"relu", "relu6", "hardtanh", "hardswish", "silu", "sigmoid", "hardsigmoid", "add", "mul"}
FORMS = {"iadd": "add", "radd": "add", "imul": "mul", "rmul": "mul"}
OTHERS = {"conv2d", "linear", "mean", "adaptive_avg_pool2d", "cat", "transpose"}


@dataclass
class Call:
    """One call: the memories it reads, the elements it writes, and whether it goes element by element.

    `channel`: elements of one channel of a depthwise convolution, else None.
    """

    reads: list[int]
    elements: int
    element_wise: bool
    channel: int | None


@dataclass
class Kept:
    """The weights of a convolution or linear layer, and whether a bias remains where norms are folded."""

    weights: int
    out_channels: int
    biased: bool


@dataclass
class Trace(TorchFunctionMode):
    """The calls of a network in order; memory 0 is its input, memory i + 1 is written by call i."""

    input_elements: int
    calls: list[Call] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    output: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self.memory: dict[int, int] = {}  # of each tensor, by its id
        self.kept_of: dict[int, Kept] = {}  # of the convolution that wrote a memory
        self.all: list[Tensor] = []  # ids stay those of one tensor

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        flat = [a for arg in (*args, *kwargs.values()) for a in (arg if isinstance(arg, tuple | list) else (arg,))]
        reads = [a for a in flat if isinstance(a, Tensor) and id(a) in self.memory]
        if reads and func.__name__ == "batch_norm":  # folded
            self.kept_of[self.memory[id(args[0])]].biased = True
            return args[0]
        out = func(*args, **kwargs)
        if reads and isinstance(out, Tensor):
            name = func.__name__.strip("_")
            self._note(FORMS.get(name, name), out, reads, args)
        return out

    def _note(self, name: str, out: Tensor, reads: list[Tensor], args: Any) -> None:
        source = self.memory[id(reads[0])]
        self.all.append(out)
        pooled = name in ("adaptive_avg_pool2d", "mean")
        scaled = name == "mul" and len(reads) == 1  # by a parameter: folded as a norm is
        if name in HANDED_ON or scaled or (pooled and prod(reads[0].shape[2:]) == 1):
            self.memory[id(out)] = source
            return
        assert name in ELEMENT_WISE | OTHERS, name
        channel = None
        if name in ("conv2d", "linear"):
            weight, bias = args[1], args[2]
            kept = Kept(weight.numel(), weight.shape[0], bias is not None)
            self.kept.append(kept)
            self.kept_of[len(self.calls) + 1] = kept
            if name == "conv2d" and weight.shape[1] == 1 and weight.shape[0] == reads[0].shape[1]:
                channel = prod(out.shape[2:])
        memories = [self.memory[id(read)] for read in reads]
        self.memory[id(out)] = len(self.calls) + 1
        self.calls.append(Call(memories, out.numel(), name in ELEMENT_WISE, channel))


def traced(arch: Arch) -> Trace:
    """What the network of `arch` calls for one image; its weights take no memory."""
    with torch.device("meta"), torch.no_grad():
        net = build_network(arch).eval()
        x = torch.zeros(1, *arch.input_shape)
        trace = Trace(x.numel())
        trace.memory[id(x)] = 0
        with trace:
            out = net(x)
    trace.output = trace.memory[id(out)]
    return trace


def peak_kib(trace: Trace, counted: Counted) -> float:
    """Walk the calls: at each one, everything written before that is read at it or later, and what it writes."""
    sizes = [trace.input_elements, *(call.elements for call in trace.calls)]
    last = [-1] * len(sizes)
    for i, call in enumerate(trace.calls):
        for memory in call.reads:
            last[memory] = i
    last[trace.output] = len(trace.calls)
    most = 0
    for i, call in enumerate(trace.calls):
        alive = sum(sizes[memory] for memory in range(i + 1) if last[memory] >= i)
        dying = [memory for memory in call.reads if last[memory] == i and sizes[memory] >= call.elements]
        own = call.elements
        if dying and call.element_wise and counted.in_place != "none":
            own = 0
        elif dying and call.channel is not None and counted.in_place == "depthwise":
            own = call.channel
        most = max(most, alive + own)
    return most * ELEMENT[counted.dtype] / 1024


def weights_kib(trace: Trace, dtype: str) -> float:
    """Weights of convolutions and linear layers, and a bias each for those that have one or are followed by a norm."""
    return sum(kept.weights * ELEMENT[dtype] + kept.out_channels * BIAS * kept.biased for kept in trace.kept) / 1024
