"""An accuracy beside what guessing has."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from nas.data.images import ImageData
from nas.train.answers.guessing import accuracy_words, is_near_guessing, top5_words


@pytest.mark.parametrize(
    ("top1", "guessing", "near"),
    [(16.0, 10.0, True), (18.99, 10.0, True), (19.0, 10.0, False), (8.0, 10.0, True), (91.0, 90.0, False),
     (90.9, 90.0, True), (None, 10.0, False), (16.0, None, False)],
)  # fmt: skip
def test_near_guessing(top1: float | None, guessing: float | None, near: bool) -> None:
    """Less than a tenth of the way from guessing to 100%; unknown for runs of earlier releases and untrained ones."""
    found = {"top1_percent": top1, "guessing_percent": guessing}
    assert is_near_guessing(found) is near
    if top1 is not None:
        assert ("NEAR GUESSING" in accuracy_words(found)) is near


def test_guessing_is_the_most_frequent_class(data: ImageData) -> None:
    chosen = torch.cat(
        [torch.nonzero(data.test.labels == label).flatten()[:count] for label, count in ((3, 3), (1, 2))]
    )
    test = data.test.subset(chosen)
    assert dataclasses.replace(data, test=test).guessing_percent == 60.0


@pytest.mark.parametrize(("classes", "words"), [(2, ""), (5, ""), (6, ", 98.10% top-5")])
def test_top_five_of_five_classes_is_not_said(classes: int, words: str) -> None:
    assert top5_words(98.1, classes) == words
