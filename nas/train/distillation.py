"""Distillation: a training that learns from the answers of a trained network as well as from the labels.

With the student's logits s and the teacher's t of the same augmented and mixed images, temperature T and weight alpha,

    loss = (1 - alpha) cross_entropy(s, labels) + alpha T^2 KL(softmax(t / T) || softmax(s / T)),

the mean over the batch (Hinton, Vinyals and Dean, arXiv 1503.02531, section 2: T^2 keeps the size of the soft part's
gradients). The teacher is in eval mode, learns nothing, and sees what the student sees, as arXiv 2106.05237 finds best.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TEMPERATURE, ALPHA = 4.0, 0.5


@dataclass(frozen=True)
class Distillation:
    """Learn from `teacher`, which maps a student's images (B, C, H, W) to logits (B, classes).

    `alpha` in (0, 1]: the soft part's share of the loss. `mean` and `std` (each (C,)): what the teacher's images are
    normalised with; None: what the student's are. `unsaid`: what to say before it teaches, where nothing tells that.
    """

    teacher: nn.Module
    temperature: float = TEMPERATURE
    alpha: float = ALPHA
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    unsaid: str = ""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"distill_temperature must be greater than 0, got {self.temperature}")
        if not 0 < self.alpha <= 1:
            raise ValueError(f"distill_alpha must be greater than 0 and at most 1, got {self.alpha}")

    def identity(self) -> dict[str, Any]:
        """What a training that learns from it depends on."""
        found = hashlib.sha256()
        for name, value in self.teacher.state_dict().items():
            found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return {
            "teacher": found.hexdigest()[:32],
            "temperature": self.temperature,
            "alpha": self.alpha,
            "mean": self.mean and list(self.mean),
            "std": self.std and list(self.std),
        }


class SoftLabels:
    """`distillation` for images that are normalised with `mean` and `std` (each (C,)), on `device`."""

    def __init__(self, distillation: Distillation, mean: Tensor, std: Tensor, device: torch.device) -> None:
        self.told = distillation
        self.teacher = distillation.teacher.to(device).eval().requires_grad_(False)
        self.scale = self.shift = None
        if distillation.mean is not None and distillation.std is not None:
            theirs_mean, theirs_std = torch.tensor(distillation.mean), torch.tensor(distillation.std)
            if not (torch.equal(theirs_mean, mean.cpu()) and torch.equal(theirs_std, std.cpu())):
                self.scale = (std.cpu() / theirs_std)[:, None, None].to(device)
                self.shift = ((mean.cpu() - theirs_mean) / theirs_std)[:, None, None].to(device)

    @torch.no_grad()
    def answers(self, images: Tensor) -> Tensor:
        """The teacher's logits on the student's `images`."""
        if self.scale is not None and self.shift is not None:
            images = images * self.scale + self.shift
        return self.teacher(images)

    def loss(self, hard: Tensor, logits: Tensor, answers: Tensor) -> Tensor:
        """The whole loss, from the `hard` one on the labels."""
        soft = soft_loss(logits, answers, self.told.temperature)
        return (1 - self.told.alpha) * hard + self.told.alpha * soft


def soft_loss(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(answers / T) || softmax(logits / T)), the mean over the batch, in nats."""
    ours, theirs = ((each.float() / temperature).log_softmax(1) for each in (logits, answers))
    return temperature**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
