"""Fine-tuning: what is frozen stays to the last bit, layers learn at timm's rates, and both are said."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from timm.optim import create_optimizer_v2

from nas.data import ImageData
from nas.train import __main__ as command
from nas.train.optimizer import make_optimizer, make_scheduler
from nas.train.start.tuning import Tuning
from nas.train.training import Options, build_network, train
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe
from tests.train.test_training import same

RECIPE = Recipe(epochs=2, batch_size=80, lr=0.05, weight_decay=1e-3, ema_decay=0.5)


@pytest.mark.parametrize(
    ("freeze", "left"), [(("backbone",), ("classifier",)), (("conv_stem", "bn1", "blocks.0"), None)]
)
def test_what_is_frozen_stays(
    freeze: tuple[str, ...], left: tuple[str, ...] | None, arch: Arch, data: ImageData
) -> None:
    """Weights and statistics, through weight decay, the moving average and its own statistics."""
    network = build_network(arch, RECIPE, seed=1)
    train(network, data, dataclasses.replace(RECIPE, epochs=1), seed=1)  # statistics that are not those of the start
    before = {name: value.clone() for name, value in network.state_dict().items()}
    train(network, data, RECIPE, options=Options(tuning=Tuning(freeze)))
    for name, value in network.state_dict().items():
        if "num_batches" not in name:
            learns = name.startswith(left) if left else not name.startswith(freeze)
            assert torch.equal(value, before[name]) is not learns, name
    assert all(weight.requires_grad for weight in network.parameters())


def test_layers_learn_at_the_rates_that_timm_gives_them(arch: Arch) -> None:
    network = build_network(arch, RECIPE)
    mine = make_optimizer(network, RECIPE, 0.5)
    theirs = create_optimizer_v2(network, "momentum", lr=0.05, weight_decay=1e-3, momentum=0.9, layer_decay=0.5)
    make_scheduler(mine, RECIPE, 3).step_update(0)
    names = {id(weight): name for name, weight in network.named_parameters()}
    rates = {names[id(weight)]: group["lr"] for group in mine.param_groups for weight in group["params"]}
    by_layer = {"classifier.weight": 0, "conv_head.weight": 1, "blocks.0.1.conv_pw.weight": 1}
    by_layer |= {"blocks.0.0.conv_pw.weight": 2, "conv_stem.weight": 3}  # the last convolution goes with the last block
    assert {name: rates[name] for name in by_layer} == pytest.approx({n: 0.05 * 0.5**k for n, k in by_layer.items()})
    scales = [[group["lr_scale"] for group in each.param_groups] for each in (mine, theirs)]
    assert scales[0] == scales[1] and len(set(scales[0])) == 4


def test_both_belong_to_the_training(arch: Arch, data: ImageData, tmp_path: Path) -> None:
    path, recipe = tmp_path / "train.pt", dataclasses.replace(RECIPE, epochs=1, ema_decay=0.0)
    states = []
    for tuning, kept in ((Tuning(), None), (Tuning(("conv_stem",), 0.8), path), (Tuning(layer_decay=0.8), None)):
        network = build_network(arch, recipe)
        train(network, data, recipe, options=Options(kept, tuning=tuning))
        states.append(dict(network.state_dict()))
    assert not any(same(states[i], states[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    for other, what in ((Tuning(), "freeze"), (Tuning(("conv_stem",)), "layer_decay")):
        with pytest.raises(ValueError, match=what):
            train(build_network(arch, recipe), data, recipe, options=Options(path, tuning=other))


def test_what_cannot_be_frozen_is_refused(arch: Arch) -> None:
    network = build_network(arch, RECIPE)
    with pytest.raises(ValueError, match="freeze=stem: no weights .* there are blocks.0, bn1, bn2, classifier"):
        Tuning(("stem",)).frozen(network)
    with pytest.raises(ValueError, match="leaves nothing to learn"):
        Tuning(("backbone", "classifier")).frozen(network)
    with pytest.raises(ValueError, match="layer_decay must be greater than 0"):
        Tuning(layer_decay=0.0)


def test_the_command(arch: Arch, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("arch.json").write_text(arch.to_json())
    short = ["arch=arch.json", "recipe.epochs=1", "recipe.batch_size=256", "accelerator=cpu", "evaluate_every=0"]
    command.main(
        [*short, "run_dir=one", "freeze=[conv_stem,blocks.0]", "layer_decay=0.7", "quantize=int8", "accumulate=auto"]
    )
    said = capsys.readouterr().out
    assert "parameters are frozen (conv_stem, blocks.0); learning rates fall by 0.7 a layer" in said
    assert "rounded to int8 while it learns" in said and "NOTE: what is frozen stays at random" in said
    command.main(["arch=one", *short[1:], "run_dir=two"])
    assert "begins at random, not with the weights of one: initial_weights=one takes" in capsys.readouterr().out
    large = "recipe.batch_size=2000"
    command.main(["arch=one", *short[1:], "run_dir=three", "initial_weights=one", "freeze=backbone", large])
    said = capsys.readouterr().out
    assert "does not say" not in said  # how its images were normalised
    assert "at random" not in said and f"{large} is more than there are: every step takes all 1,348" in said
    shutil.copy("one/model/model.safetensors", "bare.safetensors")
    command.main(["arch=one", *short[1:], "run_dir=four", "initial_weights=bare.safetensors"])
    assert "bare.safetensors does not say how its images were normalised" in capsys.readouterr().out
    for wrong, message in (
        ("freeze=body", "freeze=body: no weights"),
        ("quantize=int4", "quantize must be one of int8 or null, got 'int4'"),
    ):
        with pytest.raises(SystemExit) as caught:
            command.main([*short, wrong])
        assert caught.value.code == 2 and message in (error := capsys.readouterr().err) and error.count("\n") == 1
