"""The superkernel: all candidates of a position as slices of one block (Single-Path NAS, arXiv 1904.02877).

A 5x5 kernel holds the 3x3 one in its centre, a wide block the narrow one in its first channels, and a block is there
or not. Each decision is an indicator `1(norm of the slice >= threshold)` with a trainable threshold. One block is
executed, whatever the number of candidates.

Two modes. `paper`: as published; the masks multiply the depthwise kernel only, so that a masked channel still emits
`act(BN bias)` and a "skipped" block adds a constant. `default`, with the departures:

- Norms are free of scale: RMS of the slice over RMS of the whole kernel. Raw L2 norms grow with sqrt(channels), and the
  indicator's gradient at initialisation shrinks from 6e-5 (96 channels) to 2e-15 (1,152).
- Masks act behind the depthwise convolution, norm and activation, and on the block's branch: what is masked is exactly
  absent, and the stand-alone network gives the superkernel's output.
- Indicators can be drawn, with probability sigmoid(norm - threshold), so that every option is trained according to its
  probability and those probabilities can be derived from; without noise the decision is deterministic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.methods.supernets.nested_candidates import Choice, Mode, Nest
from search_spaces.blocks.parts.bottleneck import Bottleneck
from search_spaces.blocks.parts.depthwise import depthwise


class _Indicator(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, margin: Tensor, noise: Tensor) -> Tensor:
        ctx.save_for_backward(margin)
        return (margin + noise >= 0).to(margin.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (margin,) = ctx.saved_tensors
        # sigmoid(x) * sigmoid(-x), since sigmoid * (1 - sigmoid) is 0 in fp32 from x = 17 on
        return grads[0] * torch.sigmoid(margin) * torch.sigmoid(-margin), None


def indicator(margin: Tensor, noise: Tensor | None = None) -> Tensor:
    """`1(margin >= 0)`, exactly 0 or 1, whose gradient is that of sigmoid(margin) (straight through).

    With logistic `noise`, `1(margin + noise >= 0)`: 1 with probability sigmoid(margin).
    """
    noise = torch.zeros_like(margin) if noise is None else noise
    out: Tensor = _Indicator.apply(margin, noise)
    return out


def slice_norms(energy: Tensor, counts: Tensor, gates: Tensor, mode: Mode) -> Tensor:
    """Norms of slices from their squared sums.

    `energy`, `counts`: (slices, rings), squared weights and their number; `gates`: (rings,), the factors of the rings.
    `paper`: `||V * slice||`, the L2 norm of the kernel-masked slice. `default`: its RMS over that of the whole kernel.
    """
    masked = (gates.square() * energy).sum(-1)
    if mode == "default":
        masked = masked / (gates.square() * counts).sum(-1) / (energy.sum() / counts.sum()).clamp_min(1e-30)
    return masked.clamp_min(1e-30).sqrt()  # the clamp keeps the root's gradient finite at 0


@dataclass(frozen=True)
class Indicators:
    """The decisions of one block: `kernel` (kernels - 1,), `width` (widths,), `se` (); 0 or 1 (scaled in dropout)."""

    kernel: Tensor
    width: Tensor
    se: Tensor


class SuperBlock(nn.Module):
    """One searched position: the largest block, one threshold per decision, and the two ways to run it."""

    ring_of: Tensor  # (kernel * kernel, rings) 0-1: which ring a tap belongs to
    group_of: Tensor  # (widths, channels) 0-1: which group a channel belongs to
    first: Tensor  # -inf where the block cannot be left out, else empty

    def __init__(self, nest: Nest, mode: Mode) -> None:
        super().__init__()
        self.nest, self.mode = nest, mode
        self.block: Any = nest.largest.build(nest.position.shape)
        self.residual = nest.largest.has_residual(nest.position.shape)
        side, kernels, widths = nest.kernels[-1], nest.kernels, nest.widths
        away = (torch.arange(side) - side // 2).abs()
        distance = torch.maximum(away[:, None], away[None, :]).flatten()  # from the centre, in taps
        ring = torch.bucketize(distance, torch.tensor([k // 2 for k in kernels]))
        group = torch.bucketize(torch.arange(widths[-1]), torch.tensor(widths), right=True)
        self.register_buffer("ring_of", F.one_hot(ring, len(kernels)).float(), persistent=False)
        self.register_buffer("group_of", F.one_hot(group, len(widths)).float().T.contiguous(), persistent=False)
        self.register_buffer("first", torch.full((0 if nest.skippable else 1,), -math.inf), persistent=False)
        kernel, width, se = self.uniform_margins()
        start = 1.0 if mode == "default" else 0.0  # of a scale-free norm, all slices have about 1
        # the paper starts every threshold at 0
        self.kernel_thresholds = nn.Parameter(start * (1 - kernel))
        self.width_thresholds = nn.Parameter(start * (1 - width[len(self.first) :]))
        self.se_threshold = nn.Parameter(start * (1 - se))

    @property
    def parts(self) -> Bottleneck:
        found: Bottleneck = self.block.bottleneck()
        return found

    def uniform_margins(self) -> tuple[Tensor, Tensor, Tensor]:
        """Margins (norm - threshold) of kernel, width and SE decisions at which every candidate is equally likely."""
        nest = self.nest
        blocks = sum(choice is not None for choice in nest.choices)
        kernel = torch.tensor([math.log(n) for n in range(len(nest.kernels) - 1, 0, -1)])
        there = math.log(blocks) if nest.skippable else math.inf
        width = torch.tensor([there] + [math.log(n) for n in range(len(nest.widths) - 1, 0, -1)])
        return kernel, width, torch.zeros(len(nest.se) - 1)

    def energies(self) -> tuple[Tensor, Tensor]:
        """Squared weights of the depthwise kernel by channel group and ring, and their number: (widths, rings)."""
        weight: Tensor = self.parts.depthwise.weight
        if self.mode == "default":  # thresholds are learnt on images that the weights do not learn from
            weight = weight.detach()
        energy = self.group_of @ (weight.flatten(1).square() @ self.ring_of)
        return energy, self.group_of.sum(1)[:, None] * self.ring_of.sum(0)

    def kernel_margins(self, energy: Tensor, counts: Tensor) -> Tensor:
        """Norm of each ring beyond the smallest kernel, over all channels, less its threshold: (kernels - 1,)."""
        rings = energy.sum(0)[:, None]
        if self.mode == "paper":
            return slice_norms(rings, rings, rings.new_ones(1), "paper")[1:] - self.kernel_thresholds
        return slice_norms(rings, counts.sum(0)[:, None], rings.new_ones(1), "default")[1:] - self.kernel_thresholds

    def width_margins(self, energy: Tensor, counts: Tensor, gates: Tensor) -> Tensor:
        """Norm of each channel group of the kernel-masked weights less its threshold: (widths,).

        The first decides whether the block is there; +inf where it cannot be left out. `gates`: (rings,).
        """
        thresholds = torch.cat([self.first, self.width_thresholds])
        return slice_norms(energy, counts, gates, self.mode) - thresholds

    def se_margins(self) -> Tensor:
        """RMS of the excitation's weights over that at initialisation, less the threshold: (1,); (0,) without choice.

        The published code has no squeeze-and-excitation; the journal version's formula is not public.
        """
        if not len(self.se_threshold):
            return self.se_threshold
        weight = self.parts.se.conv_expand.weight.detach()
        return weight.square().mean().sqrt() / (2.0 / weight.shape[0]) ** 0.5 - self.se_threshold

    def indicators(self, noise: Tensor | None = None, scale: Tensor | None = None) -> Indicators:
        """The decisions, differentiable in the thresholds (in `paper` mode in the weights too).

        `noise`: (decisions,) logistic, one per kernel, width and SE decision; None decides deterministically. `scale`:
        (decisions,) factors on the indicators, the paper's dropout.
        """
        energy, counts = self.energies()
        kernels, widths = len(self.kernel_thresholds), len(self.group_of)

        def decide(margins: Tensor, start: int) -> Tensor:
            part = slice(start, start + len(margins))
            decided = indicator(margins, None if noise is None else noise[part])
            return decided if scale is None else decided * scale[part]

        kernel = decide(self.kernel_margins(energy, counts), 0)
        gates = _gates(kernel if self.mode == "paper" else kernel.detach())
        width = decide(self.width_margins(energy, counts, gates), kernels)
        if not self.nest.skippable:
            width = torch.cat([torch.ones_like(width[:1]), width[1:]])  # dropout spares what is not a decision
        se = decide(self.se_margins(), kernels + widths)
        return Indicators(kernel, width, se[0] if len(se) else kernel.new_tensor(float(self.nest.se[0])))

    @property
    def num_decisions(self) -> int:
        return len(self.kernel_thresholds) + len(self.group_of) + len(self.se_threshold)

    def probabilities(self) -> Tensor:
        """P(candidate) when every indicator is drawn with probability sigmoid(margin): (candidates,), summing to 1.

        Products along the decision chains, exactly; differentiable in the thresholds.
        """
        energy, counts = self.energies()
        kernel = _chain(self.kernel_margins(energy, counts))
        se_margin = self.se_margins()
        se = [torch.sigmoid(-se_margin[0]), torch.sigmoid(se_margin[0])] if len(se_margin) else [kernel.new_ones(())]
        skipped: list[Tensor] = []
        found: dict[Choice | None, Tensor] = {}
        for k in range(len(kernel)):
            gates = (torch.arange(len(kernel), device=kernel.device) <= k).to(kernel.dtype)
            margins = self.width_margins(energy, counts, gates)
            skipped.append(kernel[k] * torch.sigmoid(-margins[0]))
            there = kernel[k] * torch.sigmoid(margins[0])
            for w, p in enumerate(_chain(margins[1:])):
                for option, q in zip(self.nest.se, se, strict=True):
                    found[Choice(k, w, option)] = there * p * q
        found[None] = torch.stack(skipped).sum()
        return torch.stack([found[choice] for choice in self.nest.choices])

    def forward(self, x: Tensor, path: int | Indicators) -> Tensor:
        """The candidate of gene `path`, on slices of the weights; or the whole block under the masks of `path`."""
        if isinstance(path, Indicators):
            return self._masked(x, path)
        if self.nest.choices[path] is None:
            return x
        found: Tensor = self.block.sliced(x, self.nest.position.candidates[path])
        return found

    def _masked(self, x: Tensor, path: Indicators) -> Tensor:
        block, weight = self.parts, self.parts.depthwise.weight
        taps = (self.ring_of @ _gates(path.kernel)).view(1, 1, *weight.shape[2:])
        paper = self.mode == "paper"
        # of the channel groups; the decision whether the block is there at all is part of them in the paper only
        groups = torch.cumprod(path.width, 0) if paper else _gates(path.width[1:])
        channels = (groups @ self.group_of).view(1, -1, 1, 1)
        kernel = weight * taps * (channels.view(-1, 1, 1, 1) if paper else 1.0)
        h = block.expand_norm(block.expand(block.start(x)))
        h = block.depthwise_norm(depthwise(h, kernel, block.depthwise.stride[0], self.training))
        h = h if paper else h * channels
        if True in self.nest.se:
            h = h + path.se * (block.se(h) - h) if False in self.nest.se else block.se(h)
        h = block.scale(block.project_norm(block.project(h)))
        if not paper and self.nest.skippable:
            h = h * path.width[0]
        return h + x if self.residual else h


def _gates(decisions: Tensor) -> Tensor:
    """`1, d_1, d_1 d_2, ...`: how much of each nested slice is used."""
    return torch.cumprod(torch.cat([decisions.new_ones(1), decisions]), 0)


def _chain(margins: Tensor) -> Tensor:
    """Probabilities of stopping after 0, 1, ... "yes" decisions, each "yes" with probability sigmoid(margin)."""
    go_on = _gates(torch.sigmoid(margins))
    stop = torch.cat([torch.sigmoid(-margins), margins.new_ones(1)])
    return go_on * stop
