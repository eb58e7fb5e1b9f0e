"""Training: figures by hand, equal seeds, averaged weights."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from nas.data import ImageData, Split
from nas.data.digits import digits
from nas.data.split import MemorySource
from nas.networks.weights import read_weights
from nas.runs import checkpoint as checkpoints
from nas.train.accelerator import share_buffers
from nas.train.averaging import estimate_statistics, judged, keep_better
from nas.train.mixing import Mixing
from nas.train.start.tuning import Tuning
from nas.train.training import Options, build_network, evaluate, train
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe

RECIPE = Recipe(epochs=3, batch_size=48, lr=0.05, momentum=0.9, weight_decay=1e-4, label_smoothing=0.1, augment="crop")


def same(a: Any, b: Any) -> bool:
    """Whether two nested states agree, tensors bit for bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def test_same_seed_same_weights_other_seed_others(arch: Arch, data: ImageData) -> None:
    states = []
    for seed in (1, 1, 2):
        network = build_network(arch, RECIPE, seed=7)
        train(network, data, RECIPE, seed=seed)
        states.append(dict(network.state_dict()))
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


def test_looking_at_the_test_split_changes_nothing(arch: Arch, data: ImageData) -> None:
    records: list[dict[str, float]] = []
    network, looked = (build_network(arch, RECIPE) for _ in range(2))
    expected = train(network, data, RECIPE)
    found = train(
        looked, data, RECIPE, options=Options(evaluate_every=2, on_epoch=lambda _, record: records.append(record))
    )
    assert ["top1_percent" in record for record in records] == [False, True, True]
    assert records[-1]["top1_percent"] == found["top1_percent"] == expected["top1_percent"]
    assert same(dict(network.state_dict()), dict(looked.state_dict()))


def test_training_learns_digits(arch: Arch, data: ImageData) -> None:
    network = build_network(arch, RECIPE)
    before = evaluate(network, data.test)
    recipe = dataclasses.replace(RECIPE, epochs=8, batch_size=8, augment="none")
    after = train(network, data, recipe)
    assert before["top1_percent"] < 30 < 75 < after["top1_percent"]
    assert after["train_loss"] < 1.2
    assert all(value.is_contiguous() for value in network.state_dict().values())
    assert evaluate(network, data.test)["top1_percent"] == after["top1_percent"]


def test_the_better_of_raw_and_averaged_weights_is_the_result(arch: Arch, data: ImageData, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, ema_decay=0.9, epochs=4, lr=0.3, schedule="constant")
    network = build_network(arch, recipe)
    records: list[dict[str, float]] = []
    figures = train(
        *(network, data, recipe),
        options=Options(tmp_path / "a.pt", on_epoch=lambda _, record: records.append(record)),
    )
    assert figures["kept_average"]  # of large steps; with the raw weights' statistics it knows nothing
    assert figures["average_held_out_top1_percent"] >= figures["raw_held_out_top1_percent"]
    assert figures["top1_percent"] == figures["average_top1_percent"] == evaluate(network, data.test)["top1_percent"]
    of_both = [name for name in figures if name.startswith(("raw", "average", "kept"))]
    assert len(of_both) == 5 and all(records[-1][name] == figures[name] for name in of_both)
    assert same(dict(read_weights(tmp_path / "a.pt")), dict(network.state_dict()))
    weights, kept = checkpoints.load(tmp_path / "a.pt")["ema"], dict(network.named_parameters())
    assert same({name: weights[name] for name in kept}, {name: value.detach() for name, value in kept.items()})


@pytest.mark.parametrize(
    ("average", "kept"), [((50.0, 0.9), True), ((70.0, 0.9), True), ((50.0, 1.1), False), ((40.0, 0.1), False)]
)
def test_raw_or_average_is_decided_by_accuracy_then_loss(average: tuple[float, float], kept: bool) -> None:
    network, split = nn.Linear(1, 1), scripted_split([0, 1])
    own, other = ({"weight": torch.full((1, 1), k), "bias": torch.zeros(1)} for k in (1.0, 2.0))
    network.load_state_dict(own)

    def figures(_: Split) -> dict[str, float]:
        top1, loss = average if float(network.weight.detach()) == 2 else (50.0, 1.0)
        return {"top1_percent": top1, "loss": loss}

    found = keep_better(network, other, figures, split, split)
    assert (float(network.weight.detach()) == 2) == found["kept_average"] == kept
    assert found["top1_percent"] == (average[0] if kept else 50)


def test_averaged_weights_get_statistics_of_their_own(arch: Arch, data: ImageData) -> None:
    """A plain mean over the batches of training images of what each norm sees, with dropout at rest."""
    network = build_network(arch, dataclasses.replace(RECIPE, drop_rate=0.5), seed=3)
    network.train()
    estimate_statistics(network, data.train, 48, seed=0)
    assert network.training and network.bn1.momentum == 0.1
    images = torch.cat([images for images, _ in data.train.batches(48)])
    with torch.no_grad():
        seen = network.conv_stem(images)
    torch.testing.assert_close(network.bn1.running_mean, seen.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.bn1.running_var, seen.var((0, 2, 3)), rtol=0.05, atol=0)
    again = copy.deepcopy(network)
    estimate_statistics(again, data.train, 48, seed=0)
    assert same(dict(again.state_dict()), dict(network.state_dict()))


def test_processes_share_their_batch_norm_statistics(arch: Arch) -> None:
    mine, other = build_network(arch, RECIPE, seed=1), build_network(arch, RECIPE, seed=1)
    for value, network in ((1.0, mine), (2.0, other)):
        network.bn1.running_mean.fill_(value)
    theirs = iter([buffer for buffer in other.buffers() if buffer.is_floating_point()])
    pair: Any = SimpleNamespace(num_processes=2, reduce=lambda buffer, reduction: (buffer + next(theirs)) / 2)
    share_buffers(mine, pair)
    assert torch.equal(mine.bn1.running_mean, torch.full((8,), 1.5))
    assert torch.equal(mine.bn1.running_var, torch.ones(8))


def test_images_that_judge_an_average_are_few_stratified_and_not_trained_on(data: ImageData) -> None:
    learn, judges = judged(data.train)
    assert (len(learn), len(judges)) == (228, 12)
    assert not set(learn.indices.tolist()) & set(judges.indices.tolist())
    assert set(judges.labels.tolist()) == set(range(10))
    rare = data.train.subset(torch.tensor([0, *torch.nonzero(data.train.labels == 3).flatten().tolist()]))
    assert int(data.train.labels[0]) != 3
    assert set(judged(rare)[1].labels.tolist()) == {3}  # the only image of a class is trained on


def test_zero_init_makes_residual_blocks_the_identity(arch: Arch) -> None:
    recipe = dataclasses.replace(RECIPE, zero_init_residual=True)
    network = build_network(arch, recipe)
    block = network.blocks[0][0]
    images = torch.randn(2, 8, 8, 8)
    assert torch.equal(block(images), images)
    assert not torch.equal(build_network(arch, RECIPE).blocks[0][0](images), images)
    assert float(network.blocks[0][1].bn3.weight.detach().min()) == 1  # changes the shape: no shortcut


class Scripted(nn.Module):
    """Returns the logits it was given, in order."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits
        self.unused = nn.Parameter(torch.zeros(1))
        self.at = 0

    def forward(self, images: Tensor) -> Tensor:
        rows = self.logits[self.at : self.at + len(images)]
        self.at += len(images)
        return rows


def scripted_split(labels: list[int]) -> Split:
    images = torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8)
    one = torch.ones(1)
    return Split(MemorySource(images), torch.arange(len(labels)), torch.tensor(labels), one, one, 2)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_top_k_and_loss_by_hand(batch_size: int) -> None:
    logits = torch.zeros(5, 7)
    logits[:, :] = torch.tensor([6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    labels = [0, 0, 4, 5, 6]  # first, first, fifth, sixth, seventh best
    found = evaluate(Scripted(logits), scripted_split(labels), batch_size=batch_size)
    assert found["top1_percent"] == pytest.approx(40)
    assert found["top5_percent"] == pytest.approx(60)
    norm = math.log(sum(math.exp(k) for k in range(7)))
    assert found["loss"] == pytest.approx(norm - (6 + 6 + 2 + 1 + 0) / 5, rel=1e-6)


def test_top_5_of_three_classes_and_the_mode_is_kept() -> None:
    network = Scripted(torch.tensor([[1.0, 2.0, 3.0]] * 2))
    network.train()
    found = evaluate(network, scripted_split([2, 0]))
    assert (found["top1_percent"], found["top5_percent"]) == (50, 100)
    assert network.training


@pytest.mark.parametrize(("count", "unmixed"), [(1, 1), (4, 0), (5, 1)])
def test_an_odd_batch_is_mixed_too(count: int, unmixed: int) -> None:
    mixing = Mixing(dataclasses.replace(RECIPE, mixup=1.0, label_smoothing=0.1), 5)
    np.random.seed(0)
    images, labels = torch.arange(float(count)).reshape(count, 1, 1, 1), torch.arange(count)
    mixed, targets = mixing(images.clone(), labels)
    assert int((mixed == images).sum()) == unmixed
    torch.testing.assert_close(targets.sum(1), torch.ones(count))
    smoothed = F.one_hot(labels[-1:], 5) * 0.9 + 0.1 / 5
    assert bool(torch.isclose(targets[-1:], smoothed).all()) == bool(unmixed) == bool(mixed[-1] == images[-1])


def test_data_that_does_not_fit_is_refused(arch: Arch, data: ImageData) -> None:
    network = build_network(arch.with_classes(7), RECIPE)
    with pytest.raises(ValueError, match=r"has 7 output classes, digits has 10; .*with_classes\(10\)"):
        train(network, data, RECIPE)
    network = build_network(dataclasses.replace(arch, in_channels=3), RECIPE)
    with pytest.raises(ValueError, match="takes images of 3 channels, those of digits have 1"):
        train(network, data, RECIPE)


def test_one_image_at_a_time_is_refused_where_norms_learn_on_maps_of_one_pixel(arch: Arch, data: ImageData) -> None:
    """Of the images as they are, whatever the resolution in the arch; frozen norms use the statistics they have."""
    small = dataclasses.replace(digits(2), train=digits(2).train.subset(torch.arange(8)))
    few = dataclasses.replace(data, train=data.train.subset(torch.arange(8)))
    recipe, network = Recipe(epochs=1, batch_size=4, lr=0.05), build_network(arch, RECIPE)
    with pytest.raises(ValueError, match=r"one image at a time is too few: .* a recipe.batch_size of 8 or more, or"):
        train(network, small, recipe, options=Options(accumulate=4))
    train(network, small, recipe, options=Options(accumulate=4, tuning=Tuning(("backbone",))))
    network = build_network(dataclasses.replace(arch, resolution=2), RECIPE)
    network.blocks.append(Asking())  # a block of the user's own
    train(network, few, recipe, options=Options(accumulate=4))


class Asking(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.detach().abs().max().item() > 0 else x + 1


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [RECIPE, dataclasses.replace(RECIPE, drop_path_rate=0.2, ema_decay=0.9)])
def test_compiled_steps_are_compiled_once_and_are_those_of_no_compiler(
    recipe: Recipe, arch: Arch, data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the epoch, the pieces of a batch, and looks at the test images in between."""
    counted = CompileCounterWithBackend("aot_eager")
    losses = []
    for backend in (None, counted):
        torch._dynamo.reset()
        records: list[dict[str, float]] = []
        options = Options(evaluate_every=1, on_epoch=lambda _, record, to=records: to.append(record), accumulate=2)
        train(build_network(arch, recipe), data, recipe, options=dataclasses.replace(options, compile=backend))
        losses.append([record["train_loss"] for record in records])
    assert counted.frame_count == 1
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
