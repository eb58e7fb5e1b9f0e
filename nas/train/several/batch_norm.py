"""Batch-norm statistics of the whole batch where several processes share it.

Otherwise each process normalises its part of the batch by that part's statistics, as torch's own wrapper does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nas.train.accelerator import syncs_batch_norm


def statistics(accelerator: Accelerator) -> AbstractContextManager[Any]:
    """Around a forward pass in training: whose statistics its batch norms take, as `accelerator` was made to."""
    return WholeBatch() if syncs_batch_norm(accelerator) else nullcontext()


class WholeBatch(TorchFunctionMode):
    """Inside, `F.batch_norm` in training normalises by the mean and variance over all processes' parts, of equal size.

    It is the function that all our networks and supernets call, slices and masks of them too, on any device;
    `nn.SyncBatchNorm` is a module, and wants GPUs.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if function is F.batch_norm:
            return _batch_norm(_Asked(*args, **(kwargs or {})))
        return function(*args, **(kwargs or {}))


class _Mean(torch.autograd.Function):
    """The mean of a tensor over all processes; its gradient is the mean of theirs, since each has a loss of its own."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        found = own.clone()
        dist.all_reduce(found)
        return found.div_(dist.get_world_size())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        found = gradients[0].contiguous().clone()
        dist.all_reduce(found)
        return found.div_(dist.get_world_size())


class _Asked(NamedTuple):
    """The arguments of `F.batch_norm`; x: (B, C, ...)."""

    x: Tensor
    running_mean: Tensor | None
    running_var: Tensor | None
    weight: Tensor | None = None
    bias: Tensor | None = None
    training: bool = False
    momentum: float = 0.1
    eps: float = 1e-5


def _batch_norm(asked: _Asked) -> Tensor:
    """`F.batch_norm`; the variance that is kept is unbiased over the whole batch, as torch's is over its own."""
    if not asked.training:
        return F.batch_norm(*asked)
    x, wide = asked.x, asked.x.float()
    own_var, own_mean = torch.var_mean(wide, [axis for axis in range(x.ndim) if axis != 1], correction=0)
    mean = _Mean.apply(own_mean)
    var = _Mean.apply(own_var + (own_mean - mean).square())
    if asked.running_mean is not None and asked.running_var is not None:
        count = x.numel() // x.shape[1] * dist.get_world_size()
        with torch.no_grad():
            asked.running_mean.lerp_(mean.to(asked.running_mean.dtype), asked.momentum)
            unbiased = var * (count / max(count - 1, 1))
            asked.running_var.lerp_(unbiased.to(asked.running_var.dtype), asked.momentum)
    scale = torch.rsqrt(var + asked.eps)
    if asked.weight is not None:
        scale = scale * asked.weight.float()
    shift = -mean * scale if asked.bias is None else asked.bias.float() - mean * scale
    shape = [1, -1, *[1] * (x.ndim - 2)]
    return torch.addcmul(shift.view(shape), wide, scale.view(shape)).to(x.dtype)
