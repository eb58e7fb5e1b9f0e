"""The activations a layer may name: some of timm's, and those that are registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

ACTIVATIONS: dict[str, str | Callable[..., nn.Module]] = {
    name: name for name in ("relu", "relu6", "hard_swish", "silu")
}
"""By name, what timm's `create_act_layer` takes for it."""
GATES = ("sigmoid", "hard_sigmoid")


def register_activation(name: str, module: Callable[..., nn.Module]) -> None:
    """Let layers name `module(inplace)`, which has no parameters. Raises `ValueError` for a name that is taken."""
    if ACTIVATIONS.setdefault(name, module) is not module:
        raise ValueError(f"there is an activation {name!r} already; give yours another name")
