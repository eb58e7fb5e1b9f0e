"""Drawing a path from the architecture logits theta (FBNet section 3.2, Gumbel-softmax)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nas.methods.supernets.mixture import PathWeights

MODES = ("soft", "top2", "hard")


def initial_theta(cardinalities: Sequence[int]) -> Tensor:
    """Uniform logits (positions, most candidates); cells beyond a position's candidates are -inf."""
    theta = torch.zeros(len(cardinalities), max(cardinalities))
    for row, count in zip(theta, cardinalities, strict=True):
        row[count:] = -torch.inf
    return theta


def draw_path(
    theta: Tensor,
    temperature: float,
    mode: str,
    generator: torch.Generator,
    differentiable: bool,
    negligible: float = 0.0,
) -> tuple[PathWeights, Tensor]:
    """A path and the full Gumbel-softmax weights `m` (positions, candidates) it was made from.

    `m = softmax((theta + g) / temperature)`, g standard Gumbel noise, one draw per call (per batch). Modes:

    - `soft`: every candidate with its weight m (the paper). Candidates of a weight below `negligible` (0: none) are not
      executed, the others' weights renormalised to sum 1: as the choices are decided, a step costs less.
      Departure: the paper executes all of them, always.
    - `top2`: the two candidates of largest m, weights renormalised to sum 1: a truncated soft path. It costs two
      candidates a position; theta learns from the comparison of the two, and it tends to `soft` as m concentrates.
    - `hard`: the candidate of largest m, which is an exact sample of softmax(theta). Its weight is 1 in the forward
      pass and passes the gradient of m straight through (Jang et al., arXiv 1611.01144).
      Departure: unsampled candidates are not run, so theta gets the sampled candidate's term only.

    `differentiable=False` gives constant weights, for the steps in which theta is frozen. theta and the draw stay on
    the CPU, so that which modules run is known without a host sync.
    """
    if mode not in MODES:
        raise ValueError(f"unknown path mode {mode!r}; one of {', '.join(MODES)}")
    if not differentiable:
        theta = theta.detach()
    # noise is drawn in fp32 and bounded away from log(0)
    exponential = torch.empty(theta.shape).exponential_(generator=generator).clamp_min(torch.finfo(torch.float32).tiny)
    m = torch.softmax((theta - exponential.log()) / temperature, dim=-1)
    finite = torch.isfinite(theta.detach())
    if mode == "soft":
        if negligible:
            finite &= (m.detach() >= negligible) | (m.detach() == m.detach().amax(dim=-1, keepdim=True))
        active = tuple(tuple(torch.nonzero(row).flatten().tolist()) for row in finite)
        weights = tuple(row[list(chosen)] for row, chosen in zip(m, active, strict=True))
        if negligible:
            weights = tuple(row / row.sum() for row in weights)
        return PathWeights(active, weights), m
    ranked = torch.where(finite, m.detach(), -1.0)
    if mode == "hard":
        chosen = ranked.argmax(dim=-1)
        active = tuple((k,) for k in chosen.tolist())
        if not differentiable:
            return PathWeights(active, (None,) * len(active)), m
        picked = m.gather(1, chosen[:, None])
        straight = 1.0 + (picked - picked.detach())
        return PathWeights(active, tuple(straight.unbind())), m
    top = ranked.topk(2, dim=-1).indices
    picked = m.gather(1, top)
    picked = picked / picked.sum(dim=-1, keepdim=True)
    return PathWeights(tuple(map(tuple, top.tolist())), tuple(picked.unbind())), m
