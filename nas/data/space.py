"""The space that fits the data at hand: classes, channels and resolution that a card leaves open are the data's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nas.terminal.configuration import cards
from nas.terminal.configuration.card_roles import check_given
from search_spaces.arch import Arch
from search_spaces.resolution import Resolution
from search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from nas.data.images import ImageData

FROM_DATA = ("resolution", "num_classes", "in_channels")
OURS = "search_spaces."  # packages whose spaces are built in a moment
POSSIBLE_DATA = ((32, 10, 3), (16, 10, 1), (224, 1000, 3))  # FROM_DATA of small images, tiny ones, large ones


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


def check_card(
    card: Any, resolution: Resolution | None = None, accept: Callable[[SearchSpace], None] | None = None
) -> None:
    """Refuse a card of ours, or a space that `accept` raises for, whatever the data: torch and data take seconds.

    `resolution`: the data's, where it is known. What the card leaves to the data is tried at several values. Raises the
    `ValueError` that all of them lead to; where they differ, the data itself will show.
    """
    if not isinstance(card, Mapping) or not str(card.get("_target_")).startswith(OURS):
        return
    refusals: list[ValueError] = []
    for possible in POSSIBLE_DATA:
        given = dict(zip(FROM_DATA, possible, strict=True)) | ({} if resolution is None else {"resolution": resolution})
        try:
            space = build_space({key: given.get(key) if value is None else value for key, value in card.items()})
            if accept is not None:
                accept(space)
            return
        except ValueError as error:
            refusals.append(error)
    if len({str(refusal) for refusal in refusals}) == 1:
        raise refusals[0]
