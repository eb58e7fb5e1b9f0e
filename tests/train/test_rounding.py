"""Quantisation-aware training: what is rounded, by hand, and that rounding belongs to the training and to it alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nas.data import ImageData
from nas.runs.keeping.settings import Keeping
from nas.train.loop.rounding import MOMENTUM, Rounding
from nas.train.training import Options, build_network, train
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe
from tests.train.test_training import same

RECIPE = Recipe(epochs=2, batch_size=80, lr=0.05, augment="shift", ema_decay=0.5)


def test_weights_have_a_scale_for_each_output_channel() -> None:
    """127 steps up to the largest: 1.27 and 0.004 by 0.01; -254 and 3 by 2."""
    weight = torch.tensor([[1.27, 0.004], [-254.0, 3.1]])
    rounded = Rounding(nn.Linear(1, 1)).weight(weight)
    torch.testing.assert_close(rounded, torch.tensor([[1.27, 0.0], [-254.0, 4.0]]))


def test_rounding_before_a_batch_norm_is_rounding_what_it_is_folded_into() -> None:
    torch.manual_seed(0)
    weight, scale = torch.randn(5, 3, 3, 3), torch.randn(5).view(5, 1, 1, 1)
    rounding = Rounding(nn.Conv2d(3, 5, 3))
    torch.testing.assert_close(rounding.weight(weight) * scale, rounding.weight(weight * scale))


def test_ranges_follow_the_batches_and_hold_zero_exactly() -> None:
    layer = nn.Linear(1, 1)
    rounding = Rounding(layer)
    first = rounding.activation(torch.tensor([0.5, 2.55]), "a")  # from 0 to 2.55: steps of 0.01
    torch.testing.assert_close(first, torch.tensor([0.5, 2.55]))
    rounding.activation(torch.tensor([-1.0, 1.55]), "a")
    torch.testing.assert_close(rounding.ranges["a"], torch.tensor([-MOMENTUM, 2.55 - MOMENTUM]))
    assert float(rounding.activation(torch.tensor([0.0, 1.0]), "a")[0]) == 0.0
    assert float(rounding.activation(torch.tensor([0.0, 99.0]), "a")[1]) < 4  # out of range is cut off


def test_gradients_pass_within_the_range_and_stop_outside() -> None:
    rounding = Rounding(nn.Linear(1, 1))
    rounding.activation(torch.tensor([0.0, 1.0]), "a")
    x = torch.tensor([0.3, 50.0], requires_grad=True)
    rounding.activation(x, "a").sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1.0, 0.0]


class Shortcut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + x


def test_layers_and_sums_are_rounded_inside_and_nothing_outside() -> None:
    torch.manual_seed(0)
    network, x = Shortcut(), torch.randn(3, 2, 4, 4)
    rounding, plain = Rounding(network), network(x)
    with rounding.inside():
        found = network(x)
    assert set(rounding.ranges) == {"conv.weight", "sum 0, side 0", "sum 0, side 1"}
    r = Rounding(network)
    conv = F.conv2d(r.activation(x, "x"), r.weight(network.conv.weight), network.conv.bias, padding=1)
    torch.testing.assert_close(found, r.activation(conv, "left") + r.activation(x, "right"))
    assert not torch.equal(found, plain) and torch.equal(network(x), plain)


def test_a_rounded_training_resumes_to_the_last_bit(arch: Arch, data: ImageData, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def trained(path: Path | None, quantize: str | None = "int8", stop_at: int | None = None) -> dict:
        network, done = build_network(arch, RECIPE, seed=1), 0

        def count(steps: int) -> None:
            nonlocal done
            done += steps
            if stop_at is not None and done >= stop_at:
                raise Stopped

        options = Options(path, quantize=quantize, keeping=Keeping(minutes=1e-9), on_step=count)
        train(network, data, RECIPE, options=options)
        return dict(network.state_dict())

    whole, plain = trained(None), trained(None, None)
    assert not same(whole, plain)
    for step in (2, 3, 4):  # kept inside of the first epoch, at its end, inside of the second; each has two steps
        with pytest.raises(Stopped):
            trained(tmp_path / f"{step}.pt", stop_at=step)
        assert same(trained(tmp_path / f"{step}.pt"), whole), step
    with pytest.raises(ValueError, match="quantize is"):
        trained(tmp_path / "2.pt", None)


def test_further_training_with_rounding_keeps_what_was_learned_in_floats(arch: Arch, data: ImageData) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=8, batch_size=8, augment="none", ema_decay=0.0)
    network = build_network(arch, recipe)
    before = train(network, data, recipe)
    further = dataclasses.replace(recipe, epochs=2, lr=0.005)
    found = train(network, data, further, options=Options(quantize="int8"))
    assert before["top1_percent"] > 70 and found["top1_percent"] > before["top1_percent"] - 2
