"""Search objectives: one function per published equation. Latencies are in milliseconds throughout."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def fbnet_loss(cross_entropy: Tensor, latency_ms: Tensor, alpha: float = 0.2, beta: float = 0.6) -> Tensor:
    """`CE * alpha * log(LAT)^beta` (FBNet, arXiv 1812.03443, section 3.2), LAT in milliseconds.

    The exponent is outside the logarithm, as most readings of the paper have it; several public implementations put
    it inside, where beta only rescales the loss. The unit matters: in microseconds the same net is weighted 3.3 times
    differently. `log(LAT)` must be positive, hence LAT > 1 ms; callers check the table with `check_fbnet_unit`.
    """
    return cross_entropy * alpha * torch.log(latency_ms) ** beta


def check_fbnet_unit(smallest_latency_ms: float) -> None:
    """Refuse tables on which `fbnet_loss` is undefined: log(LAT)^beta is not a number for LAT < 1 ms."""
    if not smallest_latency_ms > 1:
        raise ValueError(
            f"the published loss CE * alpha * log(LAT)^beta needs LAT > 1 ms, but this space reaches down to "
            f"{smallest_latency_ms:.3g} ms on this device; use method.loss=ce with a budget, or a larger "
            "device.batch_size"
        )


def expected_latency_ms(weights: Tensor, fixed_ms: float, rows_ms: Tensor) -> Tensor:
    """`LAT = fixed + sum_l sum_i m_li * LAT(b_li)` (FBNet section 3.2).

    `weights`, `rows_ms`: (positions, candidates); result in milliseconds.
    """
    return fixed_ms + (weights * rows_ms).sum()


def augmented_lagrangian(violation: Tensor, multiplier: float, penalty: float) -> Tensor:
    """Augmented Lagrangian term of the constraint `violation <= 0` (Nocedal & Wright, eq. 17.65 for an inequality).

    `(max(0, multiplier + penalty * violation)^2 - multiplier^2) / (2 * penalty)`; its gradient with respect to the
    violation is `max(0, multiplier + penalty * violation)`, the next multiplier. `violation` is relative and unit-free:
    `LAT / budget - 1`.
    """
    shifted = torch.clamp(multiplier + penalty * violation, min=0.0)
    return (shifted**2 - multiplier**2) / (2 * penalty)


def next_multiplier(violation: float, multiplier: float, penalty: float) -> float:
    """`max(0, multiplier + penalty * violation)`: the multiplier update that belongs to `augmented_lagrangian`."""
    return max(0.0, multiplier + penalty * violation)


def temperature_at(epoch: int, initial: float, decay: float, floor: float) -> float:
    """`max(floor, initial * exp(-decay)^epoch)`: FBNet's annealing, 5.0 * exp(-0.045)^epoch, with a floor.

    Departure: the floor. The published schedule ends at 0.087 to 0.137, where users report NaN.
    """
    return max(floor, initial * math.exp(-decay * epoch))


def row_entropies(logits: Tensor) -> Tensor:
    """`-sum_k p_k ln p_k / ln n` of each row's `p = softmax(logits)` over its n finite cells, (rows,), 0 to 1.

    `logits`: (rows, most choices), -inf where a row has no such choice; a row of one choice has entropy 0. Added to the
    loss of the choices it favours what is ahead already: it decides, and says nothing about what is better.
    """
    absent = torch.isinf(logits.detach())
    log_p = torch.log_softmax(logits, -1).masked_fill(absent, 0.0)  # 0 * -inf has no value
    count = (~absent).sum(-1)
    return -(log_p.exp().masked_fill(absent, 0.0) * log_p).sum(-1) / count.clamp_min(2).log()


def single_path_loss(cross_entropy: Tensor, latency_ms: Tensor, weight: float) -> Tensor:
    """`CE + lambda * ln(R)` (Single-Path NAS, arXiv 1904.02877), R in milliseconds.

    The released code multiplies lambda by a further 1000: its 0.020 is `weight=20` here.
    """
    return cross_entropy + weight * torch.log(latency_ms)


def single_path_runtime_ms(kernel: Tensor, width: Tensor, block_ms: Tensor, skip_ms: float = 0.0) -> Tensor:
    """Runtime of one superkernel block (Single-Path NAS; its released code), milliseconds.

    `R_c = d_50 (R_K1 + d_100 (R_K2 - R_K1))`, `R = rho R_c + d_5 (1 - rho) R_c`, `rho = R_k2 / R_K2`: widths are exact
    at the larger kernel, the smaller kernel takes the ratio found at the largest width. `kernel`: (kernels - 1,),
    `width`: (widths,) indicators, the first whether the block is there; `block_ms`: (kernels, widths). More kernels or
    widths continue the chains. `skip_ms`: of a block that is left out, 0 in the paper.
    """
    one = width.new_ones(1)
    chosen = torch.cat([one, torch.cumprod(width[1:], 0)])
    at_largest = block_ms[-1]
    widths_ms = (chosen * torch.cat([at_largest[:1], at_largest.diff()])).sum()
    ratio = block_ms[:, -1] / at_largest[-1]
    rings = torch.cat([one, torch.cumprod(kernel, 0)])
    share = (rings * torch.cat([ratio[:1], ratio.diff()])).sum()
    return width[0] * widths_ms * share + (1 - width[0]) * skip_ms
