"""timm's interface of an image classifier, over a stem, a sequence of units and a final part."""

from __future__ import annotations

import dataclasses
import operator
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, SupportsIndex

import torch
from timm.layers import SelectAdaptivePool2d
from timm.models import checkpoint, checkpoint_seq
from torch import Tensor, nn

from search_spaces.arch import Arch

Indices = int | Sequence[int] | None


class TimmInterface(nn.Module):
    """What timm's tools call on a model. Subclasses hold the layers under timm's parameter names.

    `units` are the block stages (or blocks) in order; unit i ends at index i + 1 and index 0 is the stem. A *tap* is an
    index behind which the resolution falls, or the last one: the feature pyramid. `feature_info` lists for each tap
    its `num_chs`, `reduction` (input side over feature side), `module` and `stage` (the index).
    """

    __jit_unused_properties__ = ("units", "batch_norm_eps")  # TorchScript would compile them

    def __init__(self, arch: Arch, drop_rate: float, drop_path_rate: float, num_classes: int | None) -> None:
        super().__init__()
        if num_classes is not None:
            num_classes = _checked_classes(num_classes)
        for name, rate in (("drop_rate", drop_rate), ("drop_path_rate", drop_path_rate)):
            if not 0 <= rate < 1:
                raise ValueError(f"{name} must be in [0, 1), got {rate}")
        # Annotated here and not in the class: TorchScript refuses types that a class names and it does not know.
        self.arch: Arch = arch.with_classes(num_classes) if num_classes else arch
        self.feature_info: list[dict[str, Any]] = []
        self.num_features = self.head_hidden_size = 0
        self.num_classes = arch.num_classes if num_classes is None else num_classes
        self.in_chans = arch.in_channels
        self.drop_rate = float(drop_rate)
        self.grad_checkpointing = False

    # What a subclass provides.

    @property
    @abstractmethod
    def units(self) -> Sequence[nn.Module]:
        """The block stages (or blocks), without stem and final convolution."""

    @abstractmethod
    def forward_stem(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) to the input of the first unit."""

    @abstractmethod
    def forward_units(self, x: Tensor) -> Tensor:
        """Output of the stem to the output of the last unit."""

    @abstractmethod
    def forward_final(self, x: Tensor) -> Tensor:
        """Output of the last unit to the unpooled features."""

    @abstractmethod
    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Unpooled features to logits (B, num_classes), or to embeddings (B, head_hidden_size) with `pre_logits`."""

    @abstractmethod
    def get_classifier(self) -> nn.Module:
        """The last linear layer; an identity where `num_classes` is 0."""

    @abstractmethod
    def _replace_head(self, num_classes: int, global_pool: str | None) -> None: ...

    @abstractmethod
    def _keep_units(self, count: int) -> None:
        """Drop the units behind the first `count`, and the final part."""

    @abstractmethod
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns that group parameters by depth, for layer-wise learning rates."""

    # What follows from it.

    def forward_features(self, x: Tensor) -> Tensor:
        """Unpooled features: (B, num_features, h, w)."""
        x = self.forward_stem(x)
        if torch.jit.is_scripting():
            x = self.forward_units(x)
        else:
            for unit in self.units:
                x = self._run(unit, x)
        return self.forward_final(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) to logits (B, num_classes)."""
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: Indices = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The features of the taps `indices` (all; the last n; or a list), alone or behind the unpooled features.

        `norm` is accepted for timm's sake and changes nothing: taps end in a batch norm already.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"feature maps are NCHW, got output_fmt={output_fmt!r}")
        if stop_early and not intermediates_only:
            raise ValueError("stop_early=True needs intermediates_only=True: the final features are not computed")
        wanted = [self.feature_info[tap]["stage"] for tap in self._taps(indices)]
        last = max(wanted)
        x = self.forward_stem(x)
        found = [x] if 0 in wanted else []
        for index, unit in enumerate(self.units, start=1):
            if stop_early and index > last:
                break
            x = self._run(unit, x)
            if index in wanted:
                found.append(x)
        return found if intermediates_only else (self.forward_final(x), found)

    def prune_intermediate_layers(
        self, indices: Indices = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what the taps `indices` do not need; return them counted from the first."""
        taps = self._taps(indices)
        info = self.feature_info[max(taps)]
        if prune_norm or prune_head or info["stage"] < len(self.units):
            self._keep_units(info["stage"])
            self.num_features = self.head_hidden_size = info["num_chs"]
            self.reset_classifier(0, "")
        return taps

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A fresh classifier for `num_classes` (0: none), and another pooling where `global_pool` is given."""
        num_classes = _checked_classes(num_classes)
        self._replace_head(num_classes, global_pool)
        self.num_classes = num_classes
        if num_classes:
            self.arch = self.arch.with_classes(num_classes)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the units' activations in the backward pass instead of keeping them."""
        self.grad_checkpointing = enable

    def set_batch_norm(self, eps: float | None = None, momentum: float | None = None) -> None:
        """Set epsilon and momentum of every batch norm."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = module.eps if eps is None else eps
                module.momentum = module.momentum if momentum is None else momentum

    @property
    def batch_norm_eps(self) -> float:
        """Epsilon of the batch norms; part of what a network computes, so it is saved with it."""
        return next((m.eps for m in self.modules() if isinstance(m, nn.BatchNorm2d)), 1e-5)

    def _run(self, unit: nn.Module, x: Tensor) -> Tensor:
        if not self.grad_checkpointing or not torch.is_grad_enabled():
            return unit(x)
        if isinstance(unit, nn.Sequential):
            return checkpoint_seq(unit, x) if len(unit) else x
        return checkpoint(unit, x)

    def _taps(self, indices: Indices) -> list[int]:
        count = len(self.feature_info)
        if indices is None:
            return list(range(count))
        if isinstance(indices, int):
            if not 0 < indices <= count:
                raise ValueError(f"this network has {count} feature maps, the last {indices} cannot be taken")
            return list(range(count - indices, count))
        taps = [index + count if index < 0 else index for index in indices]
        for index, tap in zip(indices, taps, strict=True):
            if not 0 <= tap < count:
                raise ValueError(f"this network has feature maps 0..{count - 1}, got index {index}")
        if not taps:
            raise ValueError("out_indices is empty; name at least one feature map")
        return taps


def feature_taps(ends: Sequence[tuple[int, int, str]], first_tap: int = 0) -> list[dict[str, Any]]:
    """`feature_info` from (channels, stride so far, module name) of the stem and every unit."""
    taps = []
    for index, (channels, reduction, module) in enumerate(ends):
        last = index == len(ends) - 1
        if index >= first_tap and (last or ends[index + 1][1] > reduction):
            taps.append({"num_chs": channels, "reduction": reduction, "module": module, "stage": index})
    return taps


def with_in_channels(arch: Arch, in_channels: int | None) -> Arch:
    """`arch` for images of another number of channels."""
    return arch if in_channels is None else dataclasses.replace(arch, in_channels=_whole("in_chans", in_channels))


def _whole(name: str, value: object) -> int:
    """`value` as a Python number, of numpy's too: archs are written as JSON."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return operator.index(value)


def _checked_classes(num_classes: int) -> int:
    count = _whole("num_classes", num_classes)
    if count < 0:
        raise ValueError(f"num_classes must be >= 0 (0: no classifier, embeddings only), got {count}")
    return count


def make_pool(pool_type: str, flatten: bool) -> SelectAdaptivePool2d:
    """timm's global pooling; '' passes feature maps through. Pooling that would widen the embeddings is refused."""
    if pool_type not in ("", "avg", "max", "avgmax"):
        raise ValueError(f"unknown global_pool {pool_type!r}; one of avg, max, avgmax, or '' for none")
    return SelectAdaptivePool2d(pool_type=pool_type, flatten=flatten and bool(pool_type))
