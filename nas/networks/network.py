"""The plain network of an `Arch`, with timm's parameter names and timm's interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.networks.timm_interface import TimmInterface, feature_taps, make_pool
from nas.runs import memory
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier
from search_spaces.blocks.parts.initialisation import init_weights


def build_network(
    arch: Arch,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    num_classes: int | None = None,
    global_pool: str = "avg",
) -> Network | FlatNetwork:
    """`arch` as a module with the parameter names timm gives its family: `FlatNetwork` for ReXNets, else `Network`.

    Raises `MemoryError` where the weights alone are more than the machine holds: the system would give out the memory
    and end the process when it is written.
    """
    needed, most = 4 * arch.params, memory.total_bytes()
    if needed > most and torch.get_default_device().type != "meta":
        raise MemoryError(f"the weights of the network take {needed / 2**30:.1f} GiB, there are {most / 2**30:.1f} GiB")
    flat = any("stages" not in layer.layouts for layer in arch.layers)
    return (FlatNetwork if flat else Network)(arch, drop_rate, drop_path_rate, num_classes, global_pool)


class Network(TimmInterface):
    """`arch` as a module: `conv_stem, bn1, blocks.<stage>.<block>, conv_head, bn2, classifier`, as in timm.

    Skips that are identities leave no module. `drop_rate` is dropout before the classifier, `drop_path_rate` the
    largest stochastic-depth rate, growing linearly with depth. `num_classes=0` leaves the classifier out. Input:
    (B, in_channels, H, W); output: (B, num_classes). With a `PooledConv` in the head the features are pooled before the
    last convolution, as in MobileNetV3.
    """

    def __init__(
        self,
        arch: Arch,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        num_classes: int | None = None,
        global_pool: str = "avg",
    ) -> None:
        super().__init__(arch, drop_rate, drop_path_rate, num_classes)
        (layer, shape), *stages, head = _stem_stages_head(self.arch)
        stem = layer.build(shape)
        self.conv_stem, self.bn1 = stem.conv, stem.bn1
        count, done = max(sum(len(stage) for stage in stages), 1), 0
        ends = [(layer.out_channels, layer.stride, "bn1")]
        self.blocks = nn.Sequential()
        for i, stage in enumerate(stages):
            modules = []
            channels, reduction, _ = ends[-1]
            for layer, shape in stage:
                if not layer.is_identity(shape):
                    modules.append(layer.build(shape, drop_path_rate * done / count))
                channels, reduction = layer.out_shape(shape).channels, reduction * getattr(layer, "stride", 1)
                done += 1
            self.blocks.append(nn.Sequential(*modules))
            ends.append((channels, reduction, f"blocks.{i}"))
        self.feature_info = feature_taps(ends)
        self.num_features = self.head_hidden_size = ends[-1][0]
        self.conv_head, self.bn2 = nn.Identity(), nn.Identity()
        self.norm_head: nn.Module = nn.Identity()
        self.head_act: nn.Module = nn.Identity()
        self.pool_first = False
        for layer, shape in head[:-1]:
            module = layer.build(shape)
            if layer.role == "convolution" and not self.pool_first:
                self.conv_head, self.bn2 = module.conv, module.bn1
                self.num_features = self.head_hidden_size = layer.out_channels
            elif layer.role == "pooled_convolution":
                self.conv_head, self.norm_head, self.head_act = module.conv, module.norm, module.act
                self.pool_first = True
                self.head_hidden_size = layer.out_channels
            else:
                raise ValueError(f"a network's head cannot hold a {layer.kind!r} layer here")
        if len(head) > 2:
            raise ValueError(f"a network's head is one convolution and a classifier, got {[x.kind for x, _ in head]}")
        self.global_pool = make_pool(global_pool, flatten=True)
        self.classifier: nn.Module = nn.Identity()
        self._replace_head(self.num_classes, global_pool)
        init_weights(self)

    @property
    def units(self) -> Sequence[nn.Module]:
        return list(self.blocks)

    def forward_stem(self, x: Tensor) -> Tensor:
        return self.bn1(self.conv_stem(x))

    def forward_units(self, x: Tensor) -> Tensor:
        return self.blocks(x)

    def forward_final(self, x: Tensor) -> Tensor:
        return x if self.pool_first else self.bn2(self.conv_head(x))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = self.global_pool(x)
        if self.pool_first:
            x = self.head_act(self.norm_head(self.conv_head(x)))
            x = x.flatten(1) if self.global_pool.pool_type != "" else x
        if self.drop_rate:
            x = F.dropout(x, self.drop_rate, self.training)
        return x if pre_logits else self.classifier(x)

    def get_classifier(self) -> nn.Module:
        return self.classifier

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        blocks = r"^blocks\.(\d+)" if coarse else r"^blocks\.(\d+)\.(\d+)"
        return {"stem": r"^conv_stem|^bn1", "blocks": [(blocks, None), (r"^conv_head|^bn2|^norm_head", (99999,))]}

    def _replace_head(self, num_classes: int, global_pool: str | None) -> None:
        kept = global_pool if global_pool is not None else self.global_pool.pool_type
        self.global_pool = make_pool(kept, flatten=not self.pool_first)
        self.classifier = _classifier(self.head_hidden_size, num_classes, self.classifier)

    def _keep_units(self, count: int) -> None:
        self.blocks = self.blocks[:count]
        self.conv_head, self.bn2, self.pool_first = nn.Identity(), nn.Identity(), False
        self.norm_head, self.head_act = nn.Identity(), nn.Identity()

    def load_ends(self, other: Network) -> None:
        """Take over the weights and batch statistics of `other`'s stem, head and classifier."""
        sources = [*other.stem_modules(), *other.head_modules()]
        for mine, theirs in zip([*self.stem_modules(), *self.head_modules()], sources, strict=True):
            mine.load_state_dict(theirs.state_dict())

    def stem_modules(self) -> list[nn.Module]:
        return [self.conv_stem, self.bn1]

    def head_modules(self) -> list[nn.Module]:
        """The modules of the head, with the classifier."""
        return [self.conv_head, self.bn2, self.norm_head, self.classifier]

    def searched_modules(self) -> list[nn.Module | None]:
        """The module of each layer of the block stages, in `arch` order; None for an identity."""
        modules: list[nn.Module | None] = []
        _, *stages, _ = self.arch.walk_stages()
        for stage, built in zip(stages, self.blocks, strict=True):
            rest = iter(built.children())
            modules += [None if layer.is_identity(shape) else next(rest) for layer, shape in stage]
        return modules

    def layer_modules(self) -> list[dict[str, nn.Module]]:
        """Per layer that executes anything, in `arch` order, its modules by the names that `Layer.build` gives them."""
        if self.pool_first:
            head = [{"conv": self.conv_head, "norm": self.norm_head}]
        else:
            head = [{"conv": self.conv_head, "bn1": self.bn2}] if len(self.arch.stages[-1]) > 1 else []
        blocks = [{"": module} for module in self.searched_modules() if module is not None]
        return [{"conv": self.conv_stem, "bn1": self.bn1}, *blocks, *head, {"linear": self.classifier}]


class FlatNetwork(TimmInterface):
    """A ReXNet as a module: `stem, features.<block>, head.fc`, as in timm; the last feature is the final convolution.

    Arguments as for `Network`.
    """

    def __init__(
        self,
        arch: Arch,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        num_classes: int | None = None,
        global_pool: str = "avg",
    ) -> None:
        super().__init__(arch, drop_rate, drop_path_rate, num_classes)
        (layer, shape), *stages, head = _stem_stages_head(self.arch)
        if len(head) != 2 or head[0][0].role != "convolution":
            raise ValueError(
                f"the head of a ReXNet is one conv_bn_act layer and a classifier, got {[x.kind for x, _ in head]}"
            )
        self.stem = layer.build_flat(shape)
        ends = [(layer.out_channels, layer.stride, "stem")]
        blocks = [step for stage in stages for step in stage]
        modules: list[nn.Module] = []
        for done, (layer, shape) in enumerate(blocks):
            if "flat" not in layer.layouts:
                raise ValueError(f"a ReXNet cannot hold a {layer.kind!r} layer; its blocks are linear_bottleneck")
            if layer.is_identity(shape):
                continue
            modules.append(layer.build(shape, drop_path_rate * done / max(len(blocks) - 1, 1)))
            ends.append((layer.out_channels, ends[-1][1] * layer.stride, f"features.{len(modules) - 1}"))
        self.num_units = len(modules)
        final, shape = head[0]
        self.features = nn.Sequential(*modules, final.build_flat(shape))
        self.feature_info = feature_taps(ends, first_tap=1)
        self.num_features = self.head_hidden_size = final.out_channels
        self.global_pool = make_pool(global_pool, flatten=True)
        self.head = nn.ModuleDict({"fc": nn.Identity()})
        self._replace_head(self.num_classes, global_pool)
        init_weights(self)

    @property
    def units(self) -> Sequence[nn.Module]:
        return list(self.features)[: self.num_units]

    def forward_stem(self, x: Tensor) -> Tensor:
        return self.stem(x)

    def forward_units(self, x: Tensor) -> Tensor:
        for i, module in enumerate(self.features):
            if i < self.num_units:
                x = module(x)
        return x

    def forward_final(self, x: Tensor) -> Tensor:
        for i, module in enumerate(self.features):
            if i >= self.num_units:
                x = module(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = self.global_pool(x)
        if self.drop_rate:
            x = F.dropout(x, self.drop_rate, self.training)
        return x if pre_logits else self.head["fc"](x)

    def get_classifier(self) -> nn.Module:
        return self.head["fc"]

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        return {"stem": r"^stem", "blocks": r"^features\.(\d+)"}

    def _replace_head(self, num_classes: int, global_pool: str | None) -> None:
        kept = global_pool if global_pool is not None else self.global_pool.pool_type
        self.global_pool = make_pool(kept, flatten=True)
        self.head["fc"] = _classifier(self.head_hidden_size, num_classes, self.get_classifier())

    def _keep_units(self, count: int) -> None:
        self.features = self.features[:count]
        self.num_units = count

    def stem_modules(self) -> list[nn.Module]:
        return [self.stem]

    def head_modules(self) -> list[nn.Module]:
        """The modules of the last convolution and the classifier."""
        return [*list(self.features)[self.num_units :], self.head]

    def searched_modules(self) -> list[nn.Module | None]:
        """The module of each layer of the block stages, in `arch` order; None for an identity."""
        _, *stages, _ = self.arch.walk_stages()
        rest = iter(self.units)
        return [None if layer.is_identity(shape) else next(rest) for stage in stages for layer, shape in stage]

    def layer_modules(self) -> list[dict[str, nn.Module]]:
        """As those of `Network`."""
        last: Any = self.features[self.num_units]
        stem: Any = self.stem
        blocks = [{"": module} for module in self.searched_modules() if module is not None]
        ends = [{"conv": end.conv, "bn1": end.bn} for end in (stem, last)]
        return [ends[0], *blocks, ends[1], {"linear": self.head["fc"]}]


def _stem_stages_head(arch: Arch) -> tuple[Any, ...]:
    """The stem layer with its shape, then each block stage, then the head, as `walk_stages` gives them."""
    stem, *rest = arch.walk_stages()
    if stem[0][0].has_residual(stem[0][1]) or rest[-1][0][0].has_residual(rest[-1][0][1]):
        raise ValueError("stem and head of a network have no shortcut; drop their residual")
    if len(stem) != 1 or stem[0][0].role != "convolution":
        raise ValueError(f"the stem of a network is one conv_bn_act layer, got {[layer.kind for layer, _ in stem]}")
    return (stem[0], *rest)


def _classifier(in_features: int, num_classes: int, old: nn.Module) -> nn.Module:
    """A linear layer (an identity for 0 classes) where `old` lies, with PyTorch's own initialisation."""
    if num_classes == 0:
        return nn.Identity()
    Classifier(num_classes)  # refuses what is not a count
    weight = getattr(old, "weight", None)
    if weight is None:
        return nn.Linear(in_features, num_classes)
    return nn.Linear(in_features, num_classes, device=weight.device, dtype=weight.dtype)
