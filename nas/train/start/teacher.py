"""Who teaches: a trained network by its name, as data that other processes can be told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from torch import nn

from nas.data import ImageData
from nas.networks import model_folder, weights
from nas.networks.creation import create_model, resolve
from nas.networks.location import check_teacher, locate, no_weights
from nas.networks.trained_data import are_others, check_kind, unsaid
from nas.train.distillation import ALPHA, TEMPERATURE, Distillation
from search_spaces import zoo
from search_spaces.plain_data import identity

SETTINGS = ("teacher", "teacher_weights", "distill_temperature", "distill_alpha")


@dataclass(frozen=True)
class Teacher:
    """The network `name`, a model folder, a run, or a published or timm's name with the file of its `weights`.

    `temperature` and `alpha`: as of `Distillation`. `digest`: of its weights and the images it wants, as they were when
    a search began (None: as they are). `unsaid`: as of `Distillation`, once it is `pinned`.
    """

    name: str
    weights: str | None = None
    temperature: float = TEMPERATURE
    alpha: float = ALPHA
    digest: str | None = None
    unsaid: str = ""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Teacher | None:
        """What a resolved configuration asks for; None without a teacher, and in older runs.

        Raises `ValueError` for weights, a temperature or a share that are of no teacher.
        """
        name, file, temperature, alpha = (config.get(setting) for setting in SETTINGS)
        if name is None:
            check_teacher(None, file)
            for setting, usual in (("distill_temperature", TEMPERATURE), ("distill_alpha", ALPHA)):
                if config.get(setting) not in (None, usual):
                    raise ValueError(f"{setting}={config[setting]} is of no teacher: give teacher=, or leave it out")
            return None
        return cls(name, file, TEMPERATURE if temperature is None else temperature, ALPHA if alpha is None else alpha)

    def distillation(self, data: ImageData) -> Distillation:
        """What a training on `data` learns from it.

        Raises `ValueError` for other classes or channels, and where its weights are no longer those of `digest`.
        """
        network, images = _teacher(self.name, self.weights, data)
        mean, std = (tuple(images[key]) if images.get(key) is not None else None for key in ("mean", "std"))
        eps = getattr(network, "batch_norm_eps", model_folder.DEFAULT_EPS)
        note = unsaid(self.name, self.weights, data, eps)
        found = Distillation(network, self.temperature, self.alpha, mean, std, note)
        if self.digest is not None and _digest(found) != self.digest:
            raise ValueError(f"the teacher {self.name} is no longer the one that the search began with; put it back")
        return found

    def pinned(self, data: ImageData) -> Teacher:
        """This teacher as it is now, found from any folder of this machine."""
        name = str(Path(self.name).resolve()) if Path(self.name).exists() else self.name
        file = None if self.weights is None else str(Path(self.weights).resolve())
        found = self.distillation(data)
        return dataclasses.replace(self, name=name, weights=file, digest=_digest(found), unsaid=found.unsaid)

    def identity(self) -> dict[str, Any]:
        """What scores depend on that a teacher which is `pinned` had a part in."""
        return {"distillation": {"teacher": self.digest, "temperature": self.temperature, "alpha": self.alpha}}

    @property
    def sentence(self) -> str:
        return f"learn from {self.name}: {self.alpha:.0%} of the loss, at temperature {self.temperature:g}"


def identity_of(teacher: Teacher | None) -> dict[str, Any]:
    """`Teacher.identity`; of no teacher nothing."""
    return {} if teacher is None else teacher.identity()


def distillation_of(teacher: Teacher | None, data: ImageData) -> Distillation | None:
    """`Teacher.distillation`; of no teacher none."""
    return None if teacher is None else teacher.distillation(data)


def _digest(found: Distillation) -> str:
    return identity.digest(found.identity())


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
    """How the network in the model `folder` wants its images. Refuses classes of other names or in another
    order, and floats for bytes."""
    saved = model_folder.read(folder)
    labels = saved.pretrained_cfg.get("label_names")
    if labels is not None and are_others(labels, data):
        raise ValueError(
            f"the teacher {name} knows the classes {', '.join(labels[:10])}, {data.name} has "
            f"{', '.join(data.class_names[:10])}; give a teacher of the same classes in the same order"
        )
    check_kind(saved, folder, data)
    return saved.pretrained_cfg


def _need(file: str | None, name: str) -> None:
    if file is None:
        raise no_weights(name)
