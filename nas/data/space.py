"""The space that fits the data at hand: classes, channels and resolution that a card leaves open are the data's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.data.images import ImageData
from nas.terminal.configuration import cards
from search_spaces.space import SearchSpace

FROM_DATA = ("resolution", "num_classes", "in_channels")


def build_space(card: Mapping[str, Any], data: ImageData | None = None) -> SearchSpace:
    """The space of `card`. Keys left null take the data's value; without data, the space's own default."""
    values = {key: value for key, value in card.items() if not (key in FROM_DATA and value is None)}
    values.pop("method", None)  # the space's own method, for the command line
    if data is not None:
        for key in FROM_DATA:
            if key in card:
                values.setdefault(key, getattr(data, key))
        for key in ("num_classes", "in_channels"):
            if key in values and values[key] != getattr(data, key):
                raise ValueError(
                    f"space.{key} is {values[key]}, but {data.name} has {getattr(data, key)}; leave it out"
                )
    space = cards.build(values, "space", {})
    assert isinstance(space, SearchSpace)
    return space
