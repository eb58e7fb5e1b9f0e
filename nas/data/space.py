"""The space that fits the data at hand: classes, channels and resolution that a card leaves open are the data's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nas.terminal.configuration import cards
from nas.terminal.configuration.card_roles import check_given
from search_spaces.arch import Arch
from search_spaces.resolution import Resolution
from search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from nas.data.images import ImageData

FROM_DATA = ("resolution", "num_classes", "in_channels")


def resolution_of(space: Mapping[str, Any] | SearchSpace) -> Resolution | None:
    """The resolution that the card of a space names (None: the data's), or that a space has."""
    return cards.resolution(space, "space") if isinstance(space, Mapping) else first_arch(space).resolution


def first_arch(space: SearchSpace) -> Arch:
    """The arch of the first choices."""
    return space.decode((0,) * len(space.variables))


def build_space(card: Mapping[str, Any] | SearchSpace, data: ImageData | None = None) -> SearchSpace:
    """The space of `card`. Keys left null take the data's value; without data, the space's own default.

    A space that is given as an object must be made for as many classes and channels as the data has.
    """
    if not isinstance(card, Mapping):
        check_given("space", card)
        arch = first_arch(card)
        for key in ("num_classes", "in_channels"):
            if data is not None and getattr(arch, key) != getattr(data, key):
                raise ValueError(
                    f"space {card.name} has {key}={getattr(arch, key)}, but {data.name} has {getattr(data, key)}"
                )
        return card
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
