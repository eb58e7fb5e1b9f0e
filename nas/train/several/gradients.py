"""Gradients of a loss that several processes share, each with its part of the batch."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from accelerate import Accelerator
from torch import Tensor


def backward(accelerator: Accelerator, loss: Tensor, parameters: Iterable[Tensor], pieces: int = 1) -> Tensor:
    """Add the gradients of the mean of all processes' `loss`, one of so many `pieces`; returns that mean, detached.

    `parameters`: all that may get a gradient. Which of them do is the same in every process: paths are drawn from one
    stream. Supernets take this way: torch's own wrapper wants a forward pass that always uses the same weights.
    The sum is made once and sent to all, so gradients are equal to the last bit, and so is whatever follows from them.
    """
    share = loss / pieces if pieces > 1 else loss
    if accelerator.num_processes == 1:
        accelerator.backward(share)
        return loss.detach()
    parameters = list(parameters)
    before = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    accelerator.backward(share)
    found = [parameter for parameter in parameters if parameter.grad is not None]
    own = [loss.detach(), *(gradient for p in found if (gradient := p.grad) is not None)]
    flat = torch.cat([part.reshape(-1).to(accelerator.device, torch.float32) for part in own])
    mean = accelerator.reduce(flat, reduction="mean")
    parts: tuple[Tensor, ...] = mean.split([part.numel() for part in own])
    for parameter, piece in zip(found, parts[1:], strict=True):
        parameter.grad = piece.view(parameter.shape).to(parameter.device, parameter.dtype)
    for parameter, earlier in zip(parameters, before, strict=True):
        if earlier is not None:
            parameter.grad = earlier if parameter.grad is None else earlier + parameter.grad
    return parts[0].reshape(())


def mean_of(accelerator: Accelerator, value: Tensor) -> Tensor:
    """The mean of all processes' `value`, equal in all of them."""
    if accelerator.num_processes == 1:
        return value
    found: Tensor = accelerator.reduce(value.detach().clone(), reduction="mean")
    return found
