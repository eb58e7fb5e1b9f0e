"""From a data card to the images a network takes."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

from nas.data.images import ImageData
from nas.terminal.configuration import cards
from nas.terminal.progress import log


def data_of(card: Mapping[str, Any], resolution: int | None = None) -> ImageData:
    """The data of `card`, at `resolution` pixels where the card leaves its resolution open."""
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
