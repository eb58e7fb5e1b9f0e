"""Weights of a network of other classes or channels: what is taken, adapted as timm does, or begins anew."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import timm
import torch

from nas.data import ImageData
from nas.networks import model_folder, weights
from nas.networks.creation import create_model
from nas.networks.model_card import About
from nas.train.start.taken_over import of_other_classes, take_over
from nas.train.training import build_network
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe

RECIPE = Recipe(epochs=1, batch_size=8, lr=0.1)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_stem_as_timm_fits_it_and_a_fresh_classifier(channels: int, arch: Arch) -> None:
    source = build_network(dataclasses.replace(arch, in_channels=3), RECIPE, seed=1)
    given = dict(source.state_dict())
    network = build_network(dataclasses.replace(arch, in_channels=channels).with_classes(7), RECIPE, seed=2)
    fresh = {key: value.clone() for key, value in network.state_dict().items() if key.startswith("classifier")}
    told = take_over(network, given, "w.pt")
    assert told.adapted == ("conv_stem.weight",) and told.fresh == ("classifier.weight", "classifier.bias")
    assert told.taken == len(given) - 3
    now = network.state_dict()
    expected = timm.models.adapt_input_conv(channels, given["conv_stem.weight"])
    torch.testing.assert_close(now["conv_stem.weight"], expected)
    assert all(torch.equal(now[key], value) for key, value in fresh.items())
    others = [key for key in given if key not in (*told.adapted, *told.fresh)]
    assert all(torch.equal(now[key], given[key]) for key in others)
    assert "fitted to the input channels" in told.sentence and "begin at random" in told.sentence


def test_what_does_not_fit_is_refused(arch: Arch) -> None:
    network = build_network(arch, RECIPE)
    with pytest.raises(ValueError, match=r"w\.pt does not fit the network"):
        take_over(network, dict(create_model("mobilenetv2_035").state_dict()), "w.pt")
    two, five = (build_network(dataclasses.replace(arch, in_channels=count), RECIPE) for count in (2, 5))
    with pytest.raises(ValueError, match="takes images of 2 channels, the network 5"):
        take_over(five, dict(two.state_dict()), "w.pt")
    told = take_over(network, dict(two.state_dict()), "w.pt")
    torch.testing.assert_close(network.conv_stem.weight, two.conv_stem.weight.sum(1, keepdim=True))
    assert told.fresh == ()


def test_a_classifier_of_as_many_other_classes_begins_at_random(arch: Arch, data: ImageData, tmp_path: Path) -> None:
    letters = dataclasses.replace(data, class_names=tuple("abcdefghij"))
    folder = model_folder.write(tmp_path / "model", build_network(arch, RECIPE, seed=1), About(data=letters))
    turned = dataclasses.replace(data, class_names=tuple("jihgfedcba"))
    origins = (str(folder), str(folder / "model.safetensors"))
    assert [of_other_classes(origin, turned) for origin in origins] == [True, True]
    assert not any(of_other_classes(origin, same) for origin in origins for same in (letters, data))
    network, found = build_network(arch, RECIPE, seed=2), weights.read_weights(folder)
    own = network.classifier.weight.detach().clone()
    told = take_over(network, found, str(folder), other_classes=True)
    assert set(told.fresh) == {"classifier.weight", "classifier.bias"} and torch.equal(network.classifier.weight, own)
    assert take_over(network, found, str(folder)).fresh == ()
