"""A search space as one network of superkernels (Single-Path NAS, arXiv 1904.02877); see `superkernel_block`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from nas.methods.supernets.nested_candidates import Mode, nest_of
from nas.methods.supernets.superkernel_block import Indicators, SuperBlock
from nas.networks.network import Network
from search_spaces.blocks.parts.initialisation import init_weights
from search_spaces.blocks.parts.slices import copy_into
from search_spaces.costs import Shape
from search_spaces.space import LayerwiseSpace


class Superkernel(nn.Module):
    """`space` as one network of superkernels. Input: images (B, C, H, W) and a path; output: logits (B, classes).

    A path has one entry per position: a gene (that candidate alone, on slices of the weights: what stands alone, bit
    for bit), or `Indicators` (the whole block under masks, differentiable in them). Raises `ValueError` for spaces
    whose candidates do not nest.
    """

    def __init__(self, space: LayerwiseSpace, mode: Mode = "default") -> None:
        super().__init__()
        if any(len(slot) > 1 for stage in (space.slots[0], space.slots[-1]) for slot in stage):
            raise ValueError(f"superkernels lie in the block stages only; {space.name} has choices in its stem or head")
        self.space, self.mode = space, mode
        self.ends = Network(space.skeleton)
        self.ends.blocks = nn.Sequential()
        positions = iter(space.positions)
        slots = [slot for stage in space.slots[1:-1] for slot in stage]
        shapes: list[Shape] = [shape for stage in list(space.skeleton.walk_stages())[1:-1] for _, shape in stage]
        self.slots = nn.ModuleList(
            SuperBlock(nest_of(next(positions)), mode) if len(slot) > 1 else slot[0].build(shape)
            for slot, shape in zip(slots, shapes, strict=True)
        )
        init_weights(self)

    @property
    def blocks(self) -> list[SuperBlock]:
        """The searched blocks, one per position."""
        return [slot for slot in self.slots if isinstance(slot, SuperBlock)]

    def thresholds(self) -> list[nn.Parameter]:
        """All trainable thresholds."""
        return [p for name, p in self.named_parameters() if is_threshold(name)]

    def weights(self) -> list[nn.Parameter]:
        """All parameters but the thresholds."""
        return [p for name, p in self.named_parameters() if not is_threshold(name)]

    def forward(self, x: Tensor, path: Sequence[int | Indicators]) -> Tensor:
        blocks = self.blocks
        if len(path) != len(blocks):
            raise ValueError(f"{self.space.name} has {len(blocks)} positions, the path has {len(path)}")
        entries = iter(path)
        x = self.ends.forward_stem(x)
        slots: Iterable[nn.Module] = self.slots
        for slot in slots:
            x = slot(x, next(entries)) if isinstance(slot, SuperBlock) else slot(x)
        return self.ends.forward_head(self.ends.forward_final(x))

    def indicators(self, noise: Tensor | None = None, scale: Tensor | None = None) -> list[Indicators]:
        """The decisions of all blocks; `noise`, `scale`: (all decisions,), see `SuperBlock.indicators`."""
        sizes = [block.num_decisions for block in self.blocks]
        noises = [None] * len(sizes) if noise is None else noise.split(sizes)
        scales = [None] * len(sizes) if scale is None else scale.split(sizes)
        return [block.indicators(n, s) for block, n, s in zip(self.blocks, noises, scales, strict=True)]

    @property
    def num_decisions(self) -> int:
        return sum(block.num_decisions for block in self.blocks)

    def probabilities(self) -> list[Tensor]:
        """P(candidate) at each position; see `SuperBlock.probabilities`."""
        return [block.probabilities() for block in self.blocks]

    @torch.no_grad()
    def decide(self) -> tuple[int, ...]:
        """The genotype that the thresholds decide, without noise: the paper's result of a search."""
        return tuple(
            block.nest.gene(found.kernel.bool().tolist(), found.width.bool().tolist(), bool(found.se))
            for block, found in zip(self.blocks, self.indicators(), strict=True)
        )

    def extract(self, genotype: Sequence[int]) -> Network:
        """The stand-alone network of `genotype` with this superkernel's weights and batch statistics, copied."""
        network = Network(self.space.decode(genotype))
        network.load_ends(self.ends)
        slots: Iterable[nn.Module] = self.slots
        for slot, target in zip(slots, network.searched_modules(), strict=True):
            if target is not None:
                copy_into(target, slot.block if isinstance(slot, SuperBlock) else slot)
        return network.train(self.training)


def is_threshold(name: str) -> bool:
    """Whether the parameter called `name` is a threshold."""
    return name.endswith(("_thresholds", "_threshold"))
