"""The stochastic supernet: every candidate of every position, mixed by the weights of a path (FBNet section 3.2).

`supernet(x, path)` is a function of its arguments and of the weights alone: nothing about the active path is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nas.methods.supernets.batched_candidates import FusionPlan, fused_mix, plan_fusion
from nas.networks.network import Network
from search_spaces.blocks.parts.initialisation import init_weights
from search_spaces.space import LayerwiseSpace


@dataclass(frozen=True)
class PathWeights:
    """A path: for each position, which candidates are executed and with what weight.

    `active[i]` lists the executed candidates of position i; all others have the constant weight 0.
    `weights[i]` is `(len(active[i]),)`, or None where the single executed candidate has the constant weight 1.
    """

    active: tuple[tuple[int, ...], ...]
    weights: tuple[Tensor | None, ...]

    @staticmethod
    def one_hot(genotype: Sequence[int]) -> PathWeights:
        """The path of one arch."""
        return PathWeights(tuple((int(gene),) for gene in genotype), (None,) * len(genotype))

    def rows(self, sizes: Sequence[int]) -> list[Tensor]:
        """Per position, the weights of all its candidates, (sizes[i],): 0 for those that are not executed."""
        rows = []
        for size, active, weights in zip(sizes, self.active, self.weights, strict=True):
            if weights is None:
                weights = torch.ones(1)
            whole = (
                weights if len(active) == size else weights.new_zeros(size).index_put((torch.tensor(active),), weights)
            )
            rows.append(whole)
        return rows

    def to(self, device: torch.device) -> PathWeights:
        """The same path with its weights on `device` (differentiable, without a host sync)."""
        moved = tuple(None if w is None else w.to(device, non_blocking=True) for w in self.weights)
        return PathWeights(self.active, moved)


class Supernet(nn.Module):
    """All candidates of `space` side by side. Input: images (B, C, H, W) and a path; output: logits (B, classes).

    Searched layers must lie in the block stages; stem and head are fixed. With a one-hot path the result equals the
    stand-alone network of that arch bit for bit, since the same modules run in the same order.

    `fused`: whether a path that executes every candidate runs in the fused form of `batched_candidates`; None: on CUDA
    only. On a CPU one candidate after the other is quicker, its tensors fit the cache
    (`experiments/benchmarks/supernet_step`).
    """

    def __init__(self, space: LayerwiseSpace, fused: bool | None = None) -> None:
        super().__init__()
        if any(len(slot) > 1 for stage in (space.slots[0], space.slots[-1]) for slot in stage):
            raise ValueError(f"a supernet searches the block stages only; {space.name} has choices in its stem or head")
        layers = (layer for stage in space.slots for slot in stage for layer in slot)
        if foreign := next((layer.kind for layer in layers if "stages" not in layer.layouts), None):
            raise ValueError(f"a supernet holds no {foreign} blocks; give {space.name} inverted_residual ones")
        self.space = space
        self.ends = Network(space.skeleton)
        slots = [slot for stage in space.slots[1:-1] for slot in stage]
        shapes = [shape for stage in list(space.skeleton.walk_stages())[1:-1] for _, shape in stage]
        self.ends.blocks = nn.Sequential()
        self.slots = nn.ModuleList(
            nn.ModuleList(layer.build(shape) for layer in slot) for slot, shape in zip(slots, shapes, strict=True)
        )
        self.fused = fused
        self.plans = [plan_fusion(slot, shape) for slot, shape in zip(slots, shapes, strict=True)]
        init_weights(self)

    def forward(self, x: Tensor, path: PathWeights) -> Tensor:
        fused = x.is_cuda if self.fused is None else self.fused
        x = self.ends.forward_stem(x)
        position = 0
        for slot, plan in zip(self._slots(), self.plans, strict=True):
            if len(slot) == 1:
                x = slot[0](x)
            else:
                x = mix(x, slot, plan if fused else None, path.active[position], path.weights[position])
                position += 1
        if position != len(path.active):
            raise ValueError(f"{self.space.name} has {position} positions, the path has {len(path.active)}")
        return self.ends.forward_head(self.ends.forward_final(x))

    def _slots(self) -> list[nn.ModuleList]:
        return [slot for slot in self.slots if isinstance(slot, nn.ModuleList)]

    def extract(self, genotype: Sequence[int]) -> Network:
        """The stand-alone network of `genotype` with this supernet's weights and batch statistics, copied."""
        network = Network(self.space.decode(genotype))
        network.load_ends(self.ends)
        genes = iter(self.space.check(genotype))
        chosen = [slot[next(genes)] if len(slot) > 1 else slot[0] for slot in self._slots()]
        for source, target in zip(chosen, network.searched_modules(), strict=True):
            if target is not None:
                target.load_state_dict(source.state_dict())
        return network.train(self.training)


def mix(
    x: Tensor, candidates: nn.ModuleList, plan: FusionPlan | None, active: Sequence[int], weights: Tensor | None
) -> Tensor:
    """`sum_k weights[k] * candidates[active[k]](x)`; the single active candidate itself where `weights` is None."""
    if weights is None:
        (only,) = active
        return candidates[only](x)
    if plan is not None and len(active) == len(candidates):
        return fused_mix(x, candidates, plan, weights)
    if len(active) == 1:
        return candidates[active[0]](x) * weights
    total: Tensor | None = None
    shortcut: Tensor | None = None  # the weight of x itself: identities, and the shortcuts of all residual blocks
    for k, weight in zip(active, weights.unbind(), strict=True):
        candidate: Any = candidates[k]
        residual = hasattr(candidate, "branch") and candidate.has_residual
        if residual or isinstance(candidate, nn.Identity):
            shortcut = weight if shortcut is None else shortcut + weight
        if not isinstance(candidate, nn.Identity):
            part = candidate.branch(x) if residual else candidate(x)
            total = part * weight if total is None else torch.addcmul(total, part, weight)
    if shortcut is not None:
        total = x * shortcut if total is None else torch.addcmul(total, x, shortcut)
    assert total is not None
    return total
