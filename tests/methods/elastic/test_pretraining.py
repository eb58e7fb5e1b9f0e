"""Training an elastic supernet: what a step learns from, and what an interrupted training ends as."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from nas.methods.base import Task
from nas.methods.elastic import pretraining, stored
from nas.methods.elastic.network import ElasticNetwork
from nas.methods.elastic.pretraining import pretrain
from nas.methods.elastic.settings import Pretraining
from nas.methods.elastic.watch import Watch
from nas.runs import checkpoint as checkpoints
from nas.runs.keeping import stopping
from nas.runs.keeping.keeper import step_file
from nas.train.averaging import estimate_statistics
from search_spaces.recipe import Recipe
from tests.methods import gradient_task
from tests.methods.elastic.elastic_spaces import SPACES
from tests.methods.gradient_task import few_layers

RECIPE = Recipe(3, 40, 0.01, "adamw", warmup_epochs=0, clip_grad=1.0, label_smoothing=0.1, zero_init_residual=True)
SETTINGS = Pretraining(RECIPE, random=1)


def task(folder: Path, **changes: Any) -> tuple[Task, list[dict[str, float]]]:
    made, records = gradient_task.task(folder, few_layers(), None)
    return dataclasses.replace(made, checkpoint=folder / "supernet.pt", **changes), records


def changed(**recipe: Any) -> Pretraining:
    return dataclasses.replace(SETTINGS, recipe=dataclasses.replace(RECIPE, **recipe))


@pytest.mark.parametrize(("pick", "updates"), [("any", "arch"), ("worst", "step")])
def test_an_interrupted_training_ends_as_a_whole_one(tmp_path: Path, pick: Any, updates: Any) -> None:
    settings = dataclasses.replace(SETTINGS, pick=pick, of=2, updates=updates)
    whole, records = task(tmp_path / "whole")
    expected = pretrain(settings, whole)
    part, again = task(tmp_path / "part")
    for moment in (1, 2):

        def stop(epoch: int, record: dict[str, float], moment: int = moment) -> None:
            if epoch == moment:
                raise KeyboardInterrupt
            part.on_epoch(epoch, record)

        with pytest.raises(KeyboardInterrupt):
            pretrain(settings, dataclasses.replace(part, on_epoch=stop))
        assert stored.finished_epochs(part.checkpoint) == moment
        with pytest.raises(ValueError, match=f"trained for {moment} of 3 epochs; resume"):
            stored.load(part.checkpoint, part.space)
    with pytest.raises(stopping.Terminated):  # behind the step in which it is asked to end
        pretrain(settings, dataclasses.replace(part, on_share=lambda share: stopping.ask(signal.SIGTERM)))
    assert step_file(part.checkpoint).exists()
    torch.manual_seed(1)
    found = pretrain(settings, part)
    assert again == records and len(records) == 3
    loaded, identity = stored.load(part.checkpoint, part.space)
    for network in (found.network, loaded):
        for name, value in expected.network.state_dict().items():
            assert torch.equal(network.state_dict()[name], value), name
    assert found.identity == expected.identity == identity


def test_it_learns(tmp_path: Path) -> None:
    problem, records = task(tmp_path)
    network = pretrain(changed(epochs=8), problem).network
    assert records[-1]["largest_loss"] < 0.8 * records[0]["largest_loss"]
    assert records[-1]["smallest_loss"] < records[0]["smallest_loss"]
    assert records[-1]["spread_percent"] == pytest.approx(
        records[-1]["largest_top1_percent"] - records[-1]["smallest_top1_percent"]
    )
    cost = problem.space.count("macs")
    for genes in (cost.cheapest(), cost.most_expensive()):
        alone = network.extract(problem.space.decode(genes))
        estimate_statistics(alone, problem.data.train, 40, 0)
        images, labels = next(problem.data.train.batches(160))
        with torch.no_grad():
            assert float((alone.eval()(images).argmax(1) == labels).float().mean()) > 0.2  # guessing: 0.1


def test_checkpoints_belong_to_one_training(tmp_path: Path) -> None:
    problem, _ = task(tmp_path)

    def stop(epoch: int, record: dict[str, float]) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(SETTINGS, dataclasses.replace(problem, on_epoch=stop))
    other_cost = dataclasses.replace(problem, cost=problem.space.count("params"))
    for settings, asked, what in (
        (dataclasses.replace(SETTINGS, random=2), problem, "pretraining"),
        (changed(batch_size=20), problem, "recipe"),
        (SETTINGS, dataclasses.replace(problem, seed=1), "seed"),
        (SETTINGS, other_cost, "costs"),
        (SETTINGS, dataclasses.replace(problem, data=gradient_task.FULL), "data"),
    ):
        with pytest.raises(ValueError, match=what):
            pretrain(settings, asked)
    pretrain(changed(lr=0.001), problem)  # the cure of a collapse
    with pytest.raises(ValueError, match="is finished"):
        pretrain(changed(lr=0.002), problem)
    with pytest.raises(ValueError, match="another space"):
        stored.load(problem.checkpoint, SPACES["card"]())
    with pytest.raises(ValueError, match="no supernet at"):
        stored.load(tmp_path / "none.pt", problem.space)


def test_a_loss_that_is_no_number_is_named(tmp_path: Path) -> None:
    problem, _ = task(tmp_path)

    def poison(epoch: int, record: dict[str, float]) -> None:
        if epoch == 1:
            state = checkpoints.load(problem.checkpoint)
            state["network"]["places.0.0.conv.weight"][:] = float("nan")
            checkpoints.save(problem.checkpoint, state)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(SETTINGS, dataclasses.replace(problem, on_epoch=poison))
    with pytest.raises(ValueError, match=r"not finite in epoch 2, step 1: go on with a lower pretraining.recipe.lr"):
        pretrain(SETTINGS, problem)


def test_a_step_learns_from_labels_and_from_the_largest(tmp_path: Path) -> None:
    """The gradient of a step, by hand: the largest from the labels, the smallest from the largest's outputs."""
    problem, _ = task(tmp_path)
    training = pretraining._Pretraining(dataclasses.replace(SETTINGS, random=0), problem)
    images, labels = next(problem.data.train.batches(40))
    by_hand = ElasticNetwork(problem.space)
    by_hand.load_state_dict(training.network.state_dict())
    training.network.train()
    figures = training._step(images, labels, 0, 0)
    by_hand.to(memory_format=torch.channels_last).train()
    large = by_hand(images, training.sampler.largest)
    small = by_hand(images, training.sampler.smallest)
    losses = (
        F.cross_entropy(large, labels, label_smoothing=0.1),
        F.kl_div(small.log_softmax(1), large.detach().log_softmax(1), reduction="batchmean", log_target=True),
    )
    (sum(losses) / 2).backward()  # type: ignore[union-attr]
    for mine, theirs in zip(by_hand.parameters(), training.network.parameters(), strict=True):
        if mine.grad is not None:
            torch.testing.assert_close(theirs.grad, mine.grad, rtol=1e-4, atol=1e-6)
    assert float(figures[1]) == pytest.approx(float(F.cross_entropy(large.detach(), labels)), rel=1e-5)
    assert float(figures[2]) == pytest.approx(float(F.cross_entropy(small.detach(), labels)), rel=1e-5)


@pytest.mark.parametrize(("updates", "count"), [("step", 1), ("arch", 3)])
def test_weights_change_once_a_step_or_once_an_arch(tmp_path: Path, updates: Any, count: int) -> None:
    problem, _ = task(tmp_path)
    training = pretraining._Pretraining(dataclasses.replace(SETTINGS, updates=updates), problem)
    training.epoch(0)
    done = {int(state["step"]) for state in training.optimizer.state.values()}
    assert max(done) == count * training.steps and all(
        parameter.grad is None for parameter in training.network.parameters()
    )


def test_settings_of_before_are_known_as_they_were() -> None:
    assert "updates" not in SETTINGS.to_dict()
    assert dataclasses.replace(SETTINGS, updates="arch").to_dict() == {**SETTINGS.to_dict(), "updates": "arch"}


def test_only_what_always_has_a_shortcut_starts_as_the_identity() -> None:
    network = ElasticNetwork(SPACES["mobilenetv2"](), zero_init_residual=True)
    for place, modules in zip(network.plan.places, network.places, strict=True):
        for envelope, module in zip(place.envelopes, modules.children(), strict=True):  # type: ignore[union-attr]
            if envelope.layer.kind == "inverted_residual":
                assert bool((module.bn3.weight == 0).all()) == envelope.always_residual
    assert any(envelope.always_residual for place in network.plan.places for envelope in place.envelopes)


def test_a_collapse_is_noticed() -> None:
    fine = {"largest_loss": 1.0, "smallest_loss": 1.5}
    guessing = {"largest_loss": 2.3, "smallest_loss": 2.3}
    watch = Watch(10)
    assert watch.check(0, guessing, False) is None  # may still begin to learn
    assert watch.check(1, fine, False) is None
    with pytest.raises(ValueError, match=r"collapsed in epoch 3: .* 2.300, guessing has 2.303, and it was 1.000; .*lr"):
        watch.check(2, guessing, False)
    with pytest.raises(ValueError, match="learnt nothing in 5 epochs"):
        Watch(10).check(4, guessing, True)
    assert "smallest arch of the supernet learnt nothing" in str(
        Watch(10).check(4, {**guessing, **{"largest_loss": 1.0}}, True)
    )
    assert "could teach" in str(Watch(10).check(4, {"largest_loss": 1.5, "smallest_loss": 1.0}, True))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"random": -1}, "random must be 0 or greater"),
        ({"distillation": 1.5}, "distillation must lie"),
        ({"least": 0.5, "most": 0.5}, "must rise"),
        ({"of": 0}, "of must be"),
        ({"recipe": dataclasses.replace(RECIPE, drop_rate=0.1)}, "drop_rate must be 0"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(SETTINGS, **wrong)
