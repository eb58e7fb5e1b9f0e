"""Answers class by class: figures by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.train.answers.by_class import Answers, calibration_error, hardest


def test_calibration_error_by_hand() -> None:
    """Two bins: (0, 1/2] holds 0.3 wrong and 0.5 right, (1/2, 1] holds 0.9 right twice and 0.7 wrong."""
    confidence = torch.tensor([0.3, 0.5, 0.9, 0.9, 0.7], dtype=torch.float64)
    right = torch.tensor([False, True, True, True, False])
    assert calibration_error(confidence, right, 2) == pytest.approx((abs(1 - 0.8) + abs(2 - 2.5)) / 5)
    assert calibration_error(torch.ones(4), torch.ones(4, dtype=torch.bool)) == 0
    assert calibration_error(torch.ones(4), torch.zeros(4, dtype=torch.bool)) == 1


def test_classes_by_hand() -> None:
    logits = torch.tensor([[3.0, 0, 0, 0], [0, 3, 0, 0], [0, 3, 0, 0], [0, 0, 0, 3], [0, 3, 0, 0]])
    network, answers = nn.Identity(), Answers()
    with answers.of(network):
        network(logits[:3])
        network(logits[3:])
    network(logits)  # not noted any more
    record = answers.record(torch.tensor([0, 0, 1, 0, 1]), ("a", "b", "c", "d"))
    assert record["class_percent"] == {"a": pytest.approx(100 / 3), "b": 100.0, "c": None, "d": None}
    assert record["confusion"] == [[1, 1, 0, 1], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    confidence = float(logits[0].softmax(0)[0])
    assert record["calibration_error_percent"] == pytest.approx(100 * abs(3 / 5 - confidence), rel=1e-5)
    assert hardest(record) == "a 33.3% (taken for b)"
    names = [str(i) for i in range(101)]
    many = Answers([torch.tensor([0])], [torch.tensor([1.0])]).record(torch.tensor([0]), names)
    assert many["confusion"] is None and hardest(many) == "none: all images are answered rightly"
    wrong = Answers([torch.tensor([1])], [torch.tensor([1.0])]).record(torch.tensor([0]), names)
    assert hardest(wrong) == "0 0.0%"


def test_many_classes_take_no_memory_of_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, bincount = [], torch.bincount

    def noted(values: torch.Tensor, minlength: int) -> torch.Tensor:
        counted.append(minlength)
        return bincount(values, minlength=minlength)

    monkeypatch.setattr(torch, "bincount", noted)
    names = [str(i) for i in range(1000)]
    answers = Answers([torch.tensor([7, 999, 7])], [torch.ones(3)])
    record = answers.record(torch.tensor([7, 999, 8]), names)
    assert max(counted) == 1000
    assert {name: share for name, share in record["class_percent"].items() if share is not None} == {
        "7": 100.0,
        "8": 0.0,
        "999": 100.0,
    }
