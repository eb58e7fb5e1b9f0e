"""Quantisation-aware training: a network that computes, while it learns, as its file in eight bits will.

Each convolution and linear layer gets its weights rounded to int8, with a scale for each output channel, and its input
to uint8 within the range that it lately had; so do the two sides of a shortcut's sum. Gradients pass as if nothing were
rounded, and stop where a value was out of range (Jacob et al., arXiv 1712.05877, section 3; straight-through,
arXiv 1308.3432). The operators are torch's own `fake_quantize`.

A batch norm behind a convolution multiplies each output channel by a number, and so each channel's scale: to round the
weights before the two are folded is to round them afterwards. Departure: the batch norm is not folded in training (the
paper's section 3.2 folds it), for that reason.

Weights, statistics and checkpoints stay those of the network in floats: whoever writes the file in eight bits
(`nas.export device.dtype=int8`) takes ranges anew from training images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

MOMENTUM = 0.01  # of ranges, which follow the extremes of each step's batch
SMALLEST = 1e-12  # scale, of weights or activations that are all zero
LAYERS = (F.conv2d, F.linear)
SUMS = ("add", "__add__", "__radd__", "__iadd__")
QUANTIZE = ("int8",)


class Rounding:
    """The rounding of the layers of `network`, and the ranges that their inputs have had, by the layer's weight."""

    def __init__(self, network: nn.Module) -> None:
        self.names = {id(weight): name for name, weight in network.named_parameters() if weight.ndim > 1}
        self.ranges: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Tensor]:
        return {name: found.detach().cpu().clone() for name, found in self.ranges.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.ranges = {name: found.clone() for name, found in state.items()}

    def tensors(self) -> list[Tensor]:
        """The ranges, (2,) each, in an order that is the same in every process."""
        return [self.ranges[name] for name in sorted(self.ranges)]

    def inside(self) -> AbstractContextManager[Any]:
        """Around a forward pass in training."""
        return _Rounded(self)

    def weight(self, weight: Tensor) -> Tensor:
        """`weight` (out, ...) as int8 holds it: -127 to 127 times a scale for each output channel."""
        scale = (weight.detach().float().flatten(1).abs().amax(1) / 127).clamp(min=SMALLEST)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight.float(), scale, zero, 0, -127, 127)

    def activation(self, x: Tensor, name: str) -> Tensor:
        """`x` as uint8 holds it within the range that goes by `name`, which follows it."""
        with torch.no_grad():
            low, high = torch.aminmax(x.detach().float())
            seen = torch.stack([low.clamp(max=0), high.clamp(min=0)])  # zero is held exactly: images are padded by it
            known = self.ranges.get(name)
            known = seen if known is None else known.to(seen.device).lerp_(seen, MOMENTUM)
            self.ranges[name] = known
            scale = ((known[1] - known[0]) / 255).clamp(min=SMALLEST)
            zero = (-known[0] / scale).round().clamp(0, 255).to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(x.float(), scale, zero, 0, 255)


class _Rounded(TorchFunctionMode):
    def __init__(self, rounding: Rounding) -> None:
        super().__init__()
        self.rounding, self.sums = rounding, 0

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if function in LAYERS and len(args) > 1 and (name := self.rounding.names.get(id(args[1]))) is not None:
            x, weight, *rest = args
            args = (self.rounding.activation(x, name), self.rounding.weight(weight), *rest)
        elif getattr(function, "__name__", "") in SUMS and _are_images(args):
            place, self.sums = f"sum {self.sums}", self.sums + 1
            args = tuple(self.rounding.activation(x, f"{place}, side {side}") for side, x in enumerate(args))
        return function(*args, **(kwargs or {}))


def _are_images(args: tuple[Any, ...]) -> bool:
    """Whether two things of an equal shape (B, C, H, W) are added, as in a shortcut."""
    return (
        len(args) == 2 and all(isinstance(x, Tensor) and x.ndim == 4 for x in args) and args[0].shape == args[1].shape
    )
