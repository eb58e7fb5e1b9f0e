"""Cards to objects: types checked against the target's signature, every refusal says what would be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from nas.terminal.configuration.cards import build, find_target
from search_spaces.plain_data.annotations import check_type, describe
from search_spaces.resolution import Pixels

HERE = __name__


@dataclass(frozen=True)
class Inner:
    size: int = 1


@dataclass(frozen=True)
class Outer:
    lr: float
    mode: Literal["soft", "hard"] = "soft"
    betas: tuple[float, float] = (0.9, 0.999)
    inner: Inner | None = None
    name: str | None = None


def open_ended(a: int, **rest: Any) -> tuple[int, dict[str, Any]]:
    return a, rest


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (1, int, 1),
        (1, float, 1.0),
        (None, float | None, None),
        (2, float | None, 2.0),
        (2, int | float, 2),
        ("a", Literal["a", "b"], "a"),
        ([1, 2], tuple[float, ...], (1.0, 2.0)),
        ([1, 2], tuple[float, float], (1.0, 2.0)),
        ([1, 2], list[float], [1.0, 2.0]),
        (["a"], Sequence[str], ["a"]),
        ({"a": 1}, Mapping[str, float], {"a": 1.0}),
        ({"a": 1}, dict, {"a": 1}),
        (object, Any, object),
        (3, Pixels, 3),
        ([4, 3], Pixels, [4, 3]),
    ],
)
def test_fits(value: Any, annotation: Any, expected: Any) -> None:
    found = check_type(value, annotation, "x")
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation", "words"),
    [
        ("abc", float, "x must be a number, got 'abc'"),
        ("1e-3", float, "drop the quotes"),
        (1.5, int, "a whole number"),
        (True, int, "a whole number, got True"),
        (1, bool, "true or false"),
        (float("nan"), float, "got nan"),
        (None, int, "a whole number, got None"),
        (1, str, "a string"),
        ("c", Literal["a", "b"], "one of a, b"),
        (True, Literal[1, 2], "one of 1, 2"),
        ("ab", tuple[str, ...], "a list with each item a string"),
        ([1], tuple[float, float], "a list of 2: a number, a number"),
        ([1, "b"], list[int], "a list with each item a whole number"),
        ([1], dict[str, int], "a mapping"),
        ({"a": "b"}, dict[str, int], "a mapping"),
        ("a", int | None, "a whole number or null"),
        ([1, 2, 3], Pixels, "a whole number or [height, width], got [1, 2, 3]"),
        ("4x3", Pixels | None, "a whole number or [height, width] or null, got '4x3'"),
        ([[1]], Sequence[Pixels], "a list with each item a whole number or [height, width], got"),
    ],
)
def test_refused(value: Any, annotation: Any, words: str) -> None:
    with pytest.raises(ValueError, match="x must be") as caught:
        check_type(value, annotation, "x")
    assert words in str(caught.value)


def test_every_annotation_has_words() -> None:
    assert describe(int | None) == "a whole number or null"
    assert describe(Inner) == "Inner"


def test_build() -> None:
    card = {"_target_": f"{HERE}.Outer", "lr": 1, "betas": [0.5, 1], "inner": {"_target_": f"{HERE}.Inner", "size": 3}}
    assert build(card, "thing", {}) == Outer(1.0, betas=(0.5, 1.0), inner=Inner(3))
    assert build({"_target_": f"{HERE}.Outer"}, "thing", {"lr": 2.0}) == Outer(2.0)
    assert build({"_target_": f"{HERE}.open_ended", "a": 1, "b": "c"}, "", {}) == (1, {"b": "c"})


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"lr": 1}, "names no _target_"),
        ({"_target_": 3}, "must be package.module.name"),
        ({"_target_": "nas"}, "must be package.module.name"),
        ({"_target_": "nas.nowhere.x"}, "no module nas.nowhere"),
        ({"_target_": f"{HERE}.Missing"}, "has no Missing"),
        ({"_target_": f"{HERE}.HERE"}, "neither a class nor a function"),
        ({"_target_": f"{HERE}.Outer"}, "thing.lr has no value; give it: thing.lr="),
        ({"_target_": f"{HERE}.Outer", "lr": "a"}, "thing.lr must be a number"),
        ({"_target_": f"{HERE}.Outer", "lr": 1, "mod": 1}, "no key thing.mod; did you mean thing.mode?"),
        ({"_target_": f"{HERE}.Outer", "lr": 1, "zzz": 1}, "the keys are lr, mode, betas, inner, name"),
        ({"_target_": f"{HERE}.Outer", "inner": {"_target_": f"{HERE}.Inner", "size": "a"}}, "thing.inner.size must"),
    ],
)
def test_bad_cards(card: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        build(card, "thing", {})
    assert words in str(caught.value)


def test_a_value_the_command_gives_cannot_be_set() -> None:
    with pytest.raises(ValueError, match="no key thing"):
        build({"_target_": f"{HERE}.Outer", "lr": 1}, "thing", {"lr": 2.0})


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    def absent(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'ray'", name="ray")

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ValueError, match="needs the package 'ray', which is not installed"):
        find_target("nas.methods.far.Far")
