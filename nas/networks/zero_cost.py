"""Zero-cost scores: what an untrained network tells about itself, as free statistics for predictors."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from timm.layers import create_act_layer
from torch import Tensor, nn

from nas.networks.network import build_network
from nas.runs.seeding import derive_seed
from predictors.base import Floats, Statistics
from search_spaces.arch import Arch
from search_spaces.blocks.activations import ACTIVATIONS
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.space import Population, SearchSpace

RIDGE = 1e-6  # relative, on the diagonal of NASWOT's kernel: two images may light the same units

Score = Callable[[nn.Module, Tensor], float]


def naswot(network: nn.Module, images: Tensor) -> float:
    """`log |det K|`, `K_ij = N_A - d_H(c_i, c_j)` (Mellor et al., arXiv 2006.04647, eq. 2): higher is better.

    c_i: which of the N_A activation units image i makes positive; d_H: Hamming distance. `images`: (B, C, H, W); batch
    statistics normalise, weights stay as they are. Departure: activations that bend smoothly (hard-swish, SiLU) count
    by the sign of their input too, and K is regularised by `RIDGE` of its diagonal.
    """
    kernel = images.new_zeros(len(images), len(images), dtype=torch.float64)
    units = 0

    def record(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal kernel, units
        code = (inputs[0].flatten(1) > 0).to(torch.float32)
        units += code.shape[1]
        kernel = kernel + (code @ code.T + (1 - code) @ (1 - code).T).double()

    kinds = tuple(type(create_act_layer(act)) for act in ACTIVATIONS.values())
    hooks = [m.register_forward_pre_hook(record) for m in network.modules() if isinstance(m, kinds)]
    if not hooks:
        raise ValueError(f"naswot reads activations, and this network has none of {', '.join(ACTIVATIONS)}")
    try:
        with _BatchStatistics(network), torch.no_grad():
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    kernel = kernel + RIDGE * units * torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device)
    return float(torch.linalg.slogdet(kernel).logabsdet)


def synflow(network: nn.Module, images: Tensor) -> float:
    """`log sum_w |w dR/dw|`, `R = 1' f(1; |w|)` (Tanaka et al., arXiv 2006.05467, eq. 2): higher is better.

    Every weight and bias is replaced by its magnitude, the image by ones (only the shape of `images` is read); double
    precision. Batch norms rest at the statistics of a fresh network, mean 0 and variance 1. Departure: the logarithm,
    since the sum spans many orders of magnitude, and magnitudes of batch norms' scales are counted too.
    """
    network = copy.deepcopy(network).double()
    network.eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    parameters = [p.requires_grad_(True) for p in network.parameters()]
    total = network(torch.ones_like(images[:1], dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    flow = sum(float((p.detach() * g).abs().sum()) for p, g in zip(parameters, gradients, strict=True) if g is not None)
    return math.log(flow) if flow > 0 else -math.inf


SCORES: dict[str, Score] = {"naswot": naswot, "synflow": synflow}


def zero_cost(arch: Arch, images: Tensor, seed: int, scores: Sequence[str] = tuple(SCORES)) -> Floats:
    """The scores called `scores` of `arch` with fresh weights: (len(scores),). The weights' stream is `seed`'s.

    Raises `ValueError` for an unknown score, and for one that came out infinite or undefined.
    """
    unknown = [name for name in scores if name not in SCORES]
    if unknown:
        raise ValueError(f"unknown zero-cost score {unknown[0]!r}; one of {', '.join(SCORES)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "zero-cost", arch.id))
        network = build_network(arch).to(images.device)
    values = np.array([SCORES[name](network, images) for name in scores])
    if not np.isfinite(values).all():
        name = scores[int(np.flatnonzero(~np.isfinite(values))[0])]
        raise ValueError(f"{name} of arch {arch.id} is not finite; use another batch of images or leave the score out")
    return values


def zero_cost_statistics(
    space: SearchSpace, images: Tensor, seed: int = 0, scores: Sequence[str] = tuple(SCORES)
) -> Statistics:
    """The scores as a function of genotypes, (n, genes) -> (n, len(scores)); no network is scored twice."""
    known: dict[str, Floats] = {}

    def statistics(architectures: Population) -> Floats:
        rows, inverse = np.unique(architectures, axis=0, return_inverse=True)
        values = np.empty((len(rows), len(scores)))
        for i, genotype in enumerate(rows.tolist()):
            arch = space.decode(genotype)
            if arch.id not in known:
                known[arch.id] = zero_cost(arch, images, seed, scores)
            values[i] = known[arch.id]
        return values[inverse.reshape(-1)]

    return statistics


def cost_statistics(space: SearchSpace, *latency_ms: AdditiveCost) -> Statistics:
    """Parameters, MACs and activations of genotypes, then the milliseconds of each table given: (n, 3 + tables)."""
    costs = [space.count("params"), space.count("macs"), space.count("activations"), *latency_ms]

    def statistics(architectures: Population) -> Floats:
        return np.stack([cost(architectures) for cost in costs], axis=1)

    return statistics


def joined(*parts: Statistics) -> Statistics:
    """Several lists of free statistics as one."""
    if not parts:
        raise ValueError("joined needs at least one list of statistics")
    return lambda architectures: np.concatenate([part(architectures) for part in parts], axis=1)


class _BatchStatistics:
    """Training mode, as a context, for batch statistics; running statistics and mode are put back."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.training = network, network.training

    def __enter__(self) -> None:
        self.buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        self.network.train()

    def __exit__(self, *_: object) -> None:
        for name, buffer in self.network.named_buffers():
            buffer.copy_(self.buffers[name])
        self.network.train(self.training)
