"""Distillation: a training that learns from the answers of a trained network as well as from the labels.

With the student's logits s and the teacher's t of the same augmented and mixed images, temperature T and weight alpha,

    loss = (1 - alpha) cross_entropy(s, labels) + alpha T^2 KL(softmax(t / T) || softmax(s / T)),

the mean over the batch (Hinton, Vinyals and Dean, arXiv 1503.02531, section 2: T^2 keeps the size of the soft part's
gradients). The teacher is in eval mode, learns nothing, and sees what the student sees, as arXiv 2106.05237 finds best.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.data import ImageData
from nas.networks import model_folder, weights
from nas.networks.creation import create_model, resolve
from nas.networks.location import locate
from nas.networks.trained_data import are_others
from search_spaces import zoo

TEMPERATURE, ALPHA = 4.0, 0.5


@dataclass(frozen=True)
class Distillation:
    """Learn from `teacher`, which maps a student's images (B, C, H, W) to logits (B, classes).

    `alpha` in (0, 1]: the soft part's share of the loss. `mean` and `std` (each (C,)): what the teacher's images are
    normalised with; None: what the student's are.
    """

    teacher: nn.Module
    temperature: float = TEMPERATURE
    alpha: float = ALPHA
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"distill_temperature must be greater than 0, got {self.temperature}")
        if not 0 < self.alpha <= 1:
            raise ValueError(f"distill_alpha must be greater than 0 and at most 1, got {self.alpha}")

    @classmethod
    def from_config(cls, config: Mapping[str, Any], data: ImageData) -> Distillation | None:
        """What a resolved `conf/train.yaml` asks for; None without a teacher, and in older runs."""
        name, file = config.get("teacher"), config.get("teacher_weights")
        temperature, alpha = config.get("distill_temperature"), config.get("distill_alpha")
        if name is None:
            if file is not None:
                raise ValueError(f"teacher_weights={file} are of no network: give teacher=, a published or timm's name")
            return None
        teacher, images = _teacher(name, file, data)
        mean, std = (tuple(images[key]) if images.get(key) is not None else None for key in ("mean", "std"))
        temperature, alpha = (TEMPERATURE if temperature is None else temperature), (ALPHA if alpha is None else alpha)
        return cls(teacher, temperature, alpha, mean, std)

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


def _teacher(name: str, file: str | None, data: ImageData) -> tuple[nn.Module, Mapping[str, Any]]:
    """The network `name` with its weights, and how it wants its images, in timm's words where that is known."""
    if name.partition(".")[0] not in zoo.FAMILY_OF and timm.is_model(name) and not Path(name).exists():
        _need(file, name)
        network = timm.create_model(name, pretrained=False, num_classes=data.num_classes, in_chans=data.in_channels)
        weights.load(network, weights.read_weights(file or ""), str(file))
        return network, {}
    known, source = locate(name), resolve(name)
    if source.folder is None:
        _need(file, name)
    published: dict[str, Any] = {"num_classes": data.num_classes, "in_chans": data.in_channels} if known is None else {}
    network = create_model(name, checkpoint_path=file, **published)
    arch = None if published else source.arch
    if arch is not None and (arch.num_classes, arch.in_channels) != (data.num_classes, data.in_channels):
        raise ValueError(
            f"the teacher {name} knows {arch.num_classes} classes and images of {arch.in_channels} channels, "
            f"{data.name} has {data.num_classes} and {data.in_channels}; give a teacher that was trained on it"
        )
    folder = source.folder if file is None else model_folder.folder_in(file)
    return network, {} if folder is None else _images_of(folder, name, data)


def _images_of(folder: Path, name: str, data: ImageData) -> Mapping[str, Any]:
    """How the network in the model `folder` wants its images. Refuses classes of other names or in another order."""
    saved = model_folder.read(folder)
    labels = saved.pretrained_cfg.get("label_names")
    if labels is not None and are_others(labels, data):
        raise ValueError(
            f"the teacher {name} knows the classes {', '.join(labels[:10])}, {data.name} has "
            f"{', '.join(data.class_names[:10])}; give a teacher of the same classes in the same order"
        )
    return saved.pretrained_cfg


def _need(file: str | None, name: str) -> None:
    if file is None:
        raise ValueError(f"the teacher {name} has no weights: give teacher_weights=<file>, or a model folder or run")
