"""Every number of every card of ours has its bounds in its own place, so that a wrong one is refused before torch is
imported; new cards and new keys are walked too."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import CONF, card_values

GROUPS = ("method", "predictor", "executor", "pretraining", "recipe", "device", "data", "space")
READ = ("data", "space")  # which files or the data decide; their values are checked alone
NUMBERS_LEFT_OPEN = {"width", "depth", "train_limit", "test_limit", "num_classes", "in_channels", "max_macs"}  # null
CARDS = sorted(f"{group}/{file.stem}" for group in GROUPS for file in (CONF / group).glob("*.yaml"))


def numbers(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of the numbers in the `values` of a card, and of keys that are null and hold one otherwise."""
    for key, value in values.items():
        if isinstance(value, Mapping) and "_target_" in value:
            yield from numbers(value, (*path, key))
        elif (isinstance(value, int | float) and not isinstance(value, bool)) or key in NUMBERS_LEFT_OPEN:
            yield (*path, key)


def wrong(values: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """`values` with another `value` at `path`."""
    found: dict[str, Any] = copy.deepcopy(dict(values))
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return found


@pytest.mark.parametrize("name", CARDS)
def test_a_negative_number_is_refused(name: str) -> None:
    group = name.partition("/")[0]
    values = card_values(name)
    if group == "space":
        values.pop("method")
    if "predictor" in values:
        values["predictor"] = card_values("predictor/process")
    if name == "device/ssh":
        values["host"] = "pi@board"
    for path in numbers(values):
        with pytest.raises(ValueError, match=path[-1]):
            if group in READ:
                given = wrong(values, path, -1)
                cards.check({key: value for key, value in given.items() if value is not None}, group)
            else:
                cards.build(wrong(values, path, -1), group, {})
