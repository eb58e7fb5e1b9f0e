"""What a training that goes on takes from its checkpoint, and what of its recipe may not change."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from nas.data import ImageData
from nas.networks.creation import create_model, epsilon_of
from nas.runs.resuming import MAY_CHANGE
from nas.train.training import Options, build_network, train
from search_spaces.arch import Arch
from tests.train.test_training import RECIPE


def test_a_warm_up_that_is_a_share_of_the_epochs_fixes_them(arch: Arch, data: ImageData, tmp_path: Path) -> None:
    """More of them would begin it again, in the middle of a training."""
    path = tmp_path / "a.pt"
    recipe = dataclasses.replace(RECIPE, schedule="constant", epochs=1, warmup_epochs=None)
    train(build_network(arch, recipe), data, recipe, options=Options(path))
    with pytest.raises(ValueError, match=r"recipe\.epochs is 1, asked is 20"):
        longer = dataclasses.replace(recipe, epochs=20)
        train(build_network(arch, recipe), data, longer, options=Options(path, MAY_CHANGE))


def test_a_checkpoint_brings_the_epsilon_of_its_norms(arch: Arch, data: ImageData, tmp_path: Path) -> None:
    """Which the weights it began with may have had."""
    recipe = dataclasses.replace(RECIPE, epochs=2, ema_decay=0.9)
    whole, part, again = (build_network(arch, recipe) for _ in range(3))
    for network in (whole, part):
        network.set_batch_norm(1e-2)

    def stop(epoch: int, record: dict[str, float]) -> None:
        if epoch == 1:  # the first one is kept
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(part, data, recipe, options=Options(tmp_path / "a.pt", on_epoch=stop, evaluate_every=1))
    for file in (tmp_path / "a.pt", tmp_path / "a.best.safetensors"):  # of a training that has not ended
        assert create_model(arch, checkpoint_path=file).batch_norm_eps == epsilon_of("fbnet_a", file) == 1e-2
    found = train(again, data, recipe, options=Options(tmp_path / "a.pt"))
    assert again.batch_norm_eps == 1e-2 and found["loss"] == train(whole, data, recipe)["loss"]
