"""From a data card to the images a network takes."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.terminal.configuration import cards
from nas.terminal.configuration.card_roles import check_given
from nas.terminal.progress import log
from search_spaces.resolution import Pixels, Resolution, canonical

if TYPE_CHECKING:
    from nas.data.images import ImageData


INSIDE = {
    "nas.data.folder": "holds train/<class>/ and test/<class>/, or <class>/ alone",
    "nas.data.shards": "holds train/*.tar and val/*.tar",
    "nas.data.huggingface": "save_to_disk of Hugging Face's datasets wrote",
}


def check_root(card: Any) -> None:
    """Refuse a data card of ours whose `root` is not there, before anything heavy is imported, with how to get it.

    `card`: plain settings; objects that a program gave and cards of the user's own are left alone.
    """
    if not isinstance(card, Mapping) or not isinstance(root := card.get("root"), str) or Path(root).exists():
        return
    module, _, name = str(card.get("_target_")).rpartition(".")
    if module == "nas.data.torchvision":
        from nas.data.torchvision import DATA_SETS, not_there

        if name in DATA_SETS:
            raise ValueError(not_there(name, root))
    if module == "nas.data.arrays":
        raise ValueError(f"no data file at {root}; give data.root=<file.npz>")
    if module in INSIDE:
        raise ValueError(f"data.root={root} is not a directory; give one that {INSIDE[module]}")


def known_resolution(card: Any) -> Resolution | None:
    """The resolution of the images that a data card of ours gives, where that is known before they are read."""
    if not isinstance(card, Mapping):
        return None
    module = str(card.get("_target_")).rpartition(".")[0]
    usual = getattr(importlib.import_module(module), "RESOLUTION", None) if module.startswith("nas.data.") else None
    return cards.resolution(card, "data") or usual


@dataclass(frozen=True)
class DataSource:
    """Images at the resolution that is needed: those of a data `card`, or a data set that is in memory already."""

    card: Mapping[str, Any] | ImageData

    def __post_init__(self) -> None:
        if not isinstance(self.card, Mapping):
            check_given("data", self.card)

    @property
    def resolution(self) -> Resolution | None:
        """The resolution the card names; None where it leaves it open."""
        return cards.resolution(self.card, "data") if isinstance(self.card, Mapping) else self.card.resolution

    def load(self, resolution: Pixels | None = None) -> ImageData:
        """The data, at `resolution` where the card leaves its own open."""
        return data_of(self.card, resolution) if isinstance(self.card, Mapping) else self.card

    def at(self, resolution: Pixels | None) -> ImageData:
        """The data at `resolution`, whatever the card names. Raises `ValueError` where it has none but its own."""
        if isinstance(self.card, Mapping):
            return data_of({**self.card, "resolution": resolution})
        if resolution is not None and canonical(resolution) != self.card.resolution:
            raise ValueError(
                f"data {self.card.name} is in memory at {self.card.resolution} pixels, {canonical(resolution)} are "
                "needed; give a function of the resolution instead"
            )
        return self.card


def data_of(card: Mapping[str, Any], resolution: Pixels | None = None) -> ImageData:
    """The data of `card`, at `resolution` where the card leaves its resolution open."""
    values = dict(card)
    if resolution is not None and values.get("resolution", resolution) is None:
        values["resolution"] = resolution
    data: ImageData = cards.build(values, "data", {})
    for note in data.notes:
        _say_once(note)
    return data


@functools.cache
def _say_once(note: str) -> None:
    """A process that loads its data for every candidate says what it found in them once; of several, the first."""
    if os.environ.get("RANK", "0") == "0":
        log(f"data: {note}")
