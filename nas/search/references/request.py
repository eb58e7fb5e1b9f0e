"""Which references are asked for, as networks that fit the data, before anything is measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.networks.location import locate
from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.families.geometry import geometry_of
from search_spaces.families.hand_made.scaling import fitted, ladder
from search_spaces.families.mobile.found import FOUND

if TYPE_CHECKING:
    from nas.data import ImageData

FAMILIES = {  # families by their short names, and the published network that is widened and narrowed
    "mobilenetv2": "mobilenetv2_100",
    "mobilenetv4_conv_small": "mobilenetv4_conv_small",
    "fbnet_c": "fbnetc_100",
    "spnasnet": "spnasnet_100",
    "rexnet": "rexnetr_100",  # its form whose channels are multiples of 8, as those of the others
}
PLAIN = {"plain": {"paper": "plain_resnet10", "small": "plain_conv4"}}  # by the size of the images


@dataclass(frozen=True)
class Family:
    """The networks that one name stands for: one as it is, or one at any width of its `ladder`, narrow to wide."""

    name: str
    arch: Arch
    is_scaled: bool

    @cached_property
    def ladder(self) -> tuple[tuple[float | None, Arch], ...]:
        return tuple(ladder(self.arch)) if self.is_scaled else ((None, self.arch),)


@dataclass(frozen=True)
class ReferenceRequest:
    """The references of a search. `train`: whether they are trained, None: where that is cheap; `start`: whether the
    search begins from those that are points of its space, or from the points most like them, and from those of `found`,
    networks of earlier searches, that are points."""

    families: tuple[Family, ...] = ()
    train: bool | None = None
    start: bool = True
    found: tuple[Family, ...] = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None, data: ImageData) -> ReferenceRequest:
        """The references that the settings `references` ask for, as networks for `data`.

        Raises `ValueError` for a name that is none, and for a network of other classes, channels or images.
        """
        if config is None:  # of runs from before there were references
            return cls()
        names: Sequence[str] = config.get("names") or ()
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"references.names must be a list of names, folders and files, got {names!r}")
        doubled = [name for i, name in enumerate(names) if name in names[:i]]
        if doubled:
            raise ValueError(f"references.names lists {doubled[0]!r} twice; drop one")
        train = config.get("train")
        families = _told_apart(names, [family_of(name, data) for name in names])
        return cls(
            families, train if isinstance(train, bool) else None, config.get("start") is not False, found_for(data)
        )


def check_names(names: Sequence[str]) -> None:
    """Raise `ValueError` for the first of `names` that stands for no network; reads no file and builds nothing."""
    for name in names:
        if name not in FAMILIES and name not in PLAIN:
            _located(name)


def family_of(name: str, data: ImageData) -> Family:
    """The networks of `name` for images like those of `data`. Raises `ValueError` where there are none."""
    published = FAMILIES.get(name)
    if name in PLAIN:
        published = PLAIN[name][geometry_of(data.resolution, "auto", name)]
    path = None if published is not None else _located(name)
    if path is None:
        arch = zoo.published(published or name)
        return Family(name, fitted(arch, data.resolution, data.num_classes, data.in_channels), is_scaled=True)
    from nas.networks.creation import resolve  # here: timm takes seconds

    arch = resolve(str(path)).arch
    wanted = (data.num_classes, data.in_channels, data.resolution)
    has = (arch.num_classes, arch.in_channels, arch.resolution)
    for what, needed, found in zip(("classes", "input channels", "pixels"), wanted, has, strict=True):
        if needed != found:
            raise ValueError(
                f"references.names: {name} has {found} {what}, {data.name} needs {needed}; give a network for these "
                "images, or leave it out"
            )
    return Family(Path(name).name.removesuffix(".json") or name, arch, is_scaled=False)


def _told_apart(names: Sequence[str], families: Sequence[Family]) -> tuple[Family, ...]:
    """`families`, those of files and folders by the whole of `names` where another one is called alike."""
    short = [family.name for family in families]
    return tuple(
        family if short.count(family.name) == 1 else dataclasses.replace(family, name=name)
        for name, family in zip(names, families, strict=True)
    )


def found_for(data: ImageData) -> tuple[Family, ...]:
    """The networks that earlier searches found on images of this size, for images like those of `data`."""
    archs = FOUND[geometry_of(data.resolution, "auto", "references")]
    needs = (data.resolution, data.num_classes, data.in_channels)
    return tuple(Family(name, fitted(arch, *needs), is_scaled=True) for name, arch in archs.items())


def _located(name: str) -> Path | None:
    """Where the network `name` lies; None for a published one."""
    try:
        return locate(name)
    except ValueError as error:
        raise ValueError(f"references.names: {error}; families are {', '.join((*FAMILIES, *PLAIN))}") from None
