"""The plain network of an `Arch`, with timm's parameter names."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.arch import Arch
from search_spaces.layers import ConvBNAct, PooledConv, Skip
from search_spaces.modules import init_weights


class Network(nn.Module):
    """`arch` as a module: `conv_stem, bn1, blocks.<stage>.<block>, conv_head, bn2, classifier`, as in timm.

    Skips that are identities leave no module. `drop_rate` is dropout before the classifier, `drop_path_rate` the
    largest stochastic-depth rate, growing linearly with depth. Input: (B, in_channels, H, W); output: (B, num_classes).
    """

    def __init__(self, arch: Arch, drop_rate: float = 0.0, drop_path_rate: float = 0.0) -> None:
        super().__init__()
        self.arch = arch
        self.drop_rate = drop_rate
        stem, *stages, head = arch.walk_stages()
        if len(stem) != 1 or not isinstance(stem[0][0], ConvBNAct):
            raise ValueError(f"the stem of a network is one conv_bn_act layer, got {[layer.kind for layer, _ in stem]}")
        first = stem[0][0].build(stem[0][1])
        self.conv_stem, self.bn1 = first.conv, first.bn1
        count = max(sum(len(stage) for stage in stages), 1)
        done = 0
        self.blocks = nn.Sequential()
        for stage in stages:
            modules = []
            for layer, shape in stage:
                if not (isinstance(layer, Skip) and layer.is_identity(shape)):
                    modules.append(layer.build(shape, drop_path_rate * done / count))
                done += 1
            self.blocks.append(nn.Sequential(*modules))
        *before, (classifier, shape) = head
        self.conv_head, self.bn2 = nn.Identity(), nn.Identity()
        self.head_act: nn.Module = nn.Identity()
        self.pool_first = False
        for layer, at in before:
            module = layer.build(at)
            if isinstance(layer, ConvBNAct):
                self.conv_head, self.bn2 = module.conv, module.bn1
            elif isinstance(layer, PooledConv):
                self.conv_head, self.head_act, self.pool_first = module.conv, module.act, True
            else:
                raise ValueError(f"a network's head cannot hold a {layer.kind!r} layer")
        self.classifier = classifier.build(shape).linear
        init_weights(self)

    def forward_features(self, x: Tensor) -> Tensor:
        x = self.blocks(self.bn1(self.conv_stem(x)))
        return x if self.pool_first else self.bn2(self.conv_head(x))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        if self.pool_first:
            x = self.head_act(self.conv_head(x.mean((2, 3), keepdim=True)))
        x = x.mean((2, 3))
        if self.drop_rate:
            x = F.dropout(x, self.drop_rate, self.training)
        return x if pre_logits else self.classifier(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def searched_modules(self) -> list[nn.Module | None]:
        """The module of each layer of the block stages, in `arch` order; None for an identity."""
        modules: list[nn.Module | None] = []
        _, *stages, _ = self.arch.walk_stages()
        for stage, built in zip(stages, self.blocks, strict=True):
            rest = iter(built)
            modules += [
                None if isinstance(layer, Skip) and layer.is_identity(shape) else next(rest) for layer, shape in stage
            ]
        return modules
