"""From a data card to the images a network takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas import cards
from nas.data.images import ImageData


def data_of(card: Mapping[str, Any], resolution: int | None = None) -> ImageData:
    """The data of `card`, at `resolution` pixels where the card leaves its resolution open."""
    values = dict(card)
    if resolution is not None and values.get("resolution", resolution) is None:
        values["resolution"] = resolution
    data: ImageData = cards.build(values, "data", {})
    return data
