"""Identities name what differs."""

from __future__ import annotations

import pytest

from search_spaces.plain_data import identity


def test_a_digest_ignores_the_order_of_keys_and_sees_every_value() -> None:
    assert identity.digest({"a": 1, "b": [1, 2]}) == identity.digest({"b": [1, 2], "a": 1})
    assert identity.digest({"a": 1}) != identity.digest({"a": 2})
    assert len(identity.digest([])) == 32


def test_differences_are_named_entry_by_entry() -> None:
    known = {"seed": 0, "recipe": {"lr": 0.1, "epochs": 3}, "old": True}
    asked = {"seed": 0, "recipe": {"lr": 0.2, "epochs": 3}}
    assert identity.differences(known, asked) == ["recipe.lr is 0.1, asked is 0.2", "old is true, asked is null"]


def test_what_json_does_to_a_value_is_no_difference() -> None:
    assert not identity.differences({"shape": [1, 2]}, {"shape": (1, 2)})
    identity.check("study", {"a": (1,)}, {"a": [1]}, "x")


def test_a_mismatch_says_what_and_the_way_out() -> None:
    with pytest.raises(
        ValueError, match=r"^study 'a' belongs to something else: data is \"x\", asked is \"y\"; name another$"
    ):
        identity.check("study 'a'", {"data": "x"}, {"data": "y"}, "name another")
