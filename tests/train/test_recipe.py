"""Recipes as data: round trip, and every value out of range refused by name."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import torch
import yaml
from torch import nn

from nas.terminal.configuration.composition import CONF
from nas.train.optimizer import make_optimizer, make_scheduler
from search_spaces.recipe import OPTIMIZERS, SCHEDULES, Recipe

BASE = Recipe(epochs=10, batch_size=32, lr=0.1)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, bias=True), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_round_trip(optimizer: str, schedule: str) -> None:
    milestones = (2, 5) if schedule == "multistep" else ()
    recipe = dataclasses.replace(
        BASE, optimizer=optimizer, schedule=schedule, milestones=milestones, eps=1e-3, mixup=0.2, augment="crop"
    )
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert hash(recipe) == hash(Recipe.from_dict(recipe.to_dict()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": -0.1}, "lr must be greater than 0, got -0.1"),
        ({"lr": "fast"}, "lr must be a number, got 'fast'"),
        ({"lr": float("nan")}, "lr must be a number, got nan"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"epochs": 2.5}, "epochs must be a whole number, got 2.5"),
        ({"epochs": True}, "epochs must be a whole number, got True"),
        ({"batch_size": -4}, "batch_size must be at least 1, got -4"),
        ({"optimizer": "sdg"}, "optimizer must be one of sgd, nesterov, adam"),
        ({"schedule": "cos"}, "schedule must be one of cosine, multistep, step, linear, constant, got 'cos'"),
        ({"augment": "spin"}, "augment must be one of none, flip"),
        ({"weight_decay": -1e-4}, "weight_decay must be 0 or greater"),
        ({"momentum": 1.0}, "momentum must be at least 0 and less than 1"),
        ({"ema_decay": 1}, "ema_decay must be at least 0 and less than 1"),
        ({"label_smoothing": -0.1}, "label_smoothing must be at least 0"),
        ({"warmup_epochs": 10}, r"warmup_epochs must be less than epochs \(10\), or null, a tenth of them, got 10"),
        ({"schedule": "multistep"}, "milestones must be rising epochs between 1 and 10"),
        ({"schedule": "multistep", "milestones": [5, 5]}, "milestones must be rising"),
        ({"schedule": "multistep", "milestones": [5, 11]}, "milestones must be rising"),
        (
            {"schedule": "multistep", "milestones": [1.5]},
            "milestones must be a list with each item a whole number",
        ),
        ({"milestones": [5]}, "milestones belong to schedule multistep, the schedule is 'cosine'"),
        ({"milestones": 5}, "milestones must be a list of epochs, got 5"),
        ({"mixup": 0.2, "batch_size": 33}, "mixup and cutmix pair the images of a batch; batch_size 33 is odd"),
        ({"zero_init_residual": 1}, "zero_init_residual must be true or false, got 1"),
        ({"eps": 0}, "eps must be greater than 0"),
        ({"second_moment": 1.5}, "second_moment must be at least 0 and less than 1"),
        ({"learning_rate": 0.1}, "a recipe has no key 'learning_rate'; its keys are epochs, batch_size, lr"),
    ],
)
def test_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe.from_dict({**BASE.to_dict(), **change})


def test_refused_wholes() -> None:
    with pytest.raises(ValueError, match="a recipe is a JSON object, got list"):
        Recipe.from_dict([])
    with pytest.raises(ValueError, match="a recipe needs batch_size, lr"):
        Recipe.from_dict({"epochs": 3})


@pytest.mark.parametrize("card", sorted(path.name for path in (CONF / "recipe").glob("*.yaml")))
def test_cards_are_recipes(card: str) -> None:
    values = yaml.safe_load((CONF / "recipe" / card).read_text())
    assert values.pop("_target_") == "search_spaces.recipe.Recipe"
    recipe = Recipe.from_dict(values)
    optimizer = make_optimizer(network(), recipe)
    make_scheduler(optimizer, recipe, 4).step_update(0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns_and_spares_biases_and_norms(optimizer: str) -> None:
    torch.manual_seed(0)
    model = network()
    made = make_optimizer(model, dataclasses.replace(BASE, optimizer=optimizer, lr=1e-3, weight_decay=0.1))
    decayed = {id(p) for group in made.param_groups if group["weight_decay"] for p in group["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in decayed}
    assert names == {"0.weight", "3.weight"}
    images, labels = torch.randn(16, 1, 3, 3), torch.arange(16) % 2
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        made.step()
        made.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("name", "value"), [("momentum", 0.5), ("second_moment", 0.5), ("eps", 1e-2)])
def test_idle_settings_are_those_that_change_nothing(optimizer: str, name: str, value: float) -> None:
    base = dataclasses.replace(BASE, optimizer=optimizer)
    given = dataclasses.replace(base, **{name: value})
    net = network()
    before, after = (make_optimizer(net, recipe).defaults for recipe in (base, given))
    assert not base.idle and list(given.idle) == ([name] if before == after else [])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup_epochs", [0.0, 0.5])
def test_idle_settings_are_those_that_leave_every_learning_rate(schedule: str, warmup_epochs: float) -> None:
    milestones = (2, 3) if schedule == "multistep" else ()
    base = dataclasses.replace(BASE, schedule=schedule, milestones=milestones, warmup_epochs=warmup_epochs, epochs=4)

    def rates(recipe: Recipe) -> list[float]:
        made = make_optimizer(network(), recipe)
        scheduler, found = make_scheduler(made, recipe, 4), []
        for step in range(16):
            scheduler.step_update(step)
            found.append(made.param_groups[0]["lr"])
        return found

    assert not base.idle and base.acting == base
    for name, value in (("warmup_lr", 0.01), ("min_lr", 0.02), ("decay_rate", 0.7), ("decay_epochs", 0.5)):
        given = dataclasses.replace(base, **{name: value})
        acts = rates(given) != rates(base)
        assert list(given.idle) == ([] if acts else [name]), name
        assert given.acting == (given if acts else base)


def test_sgd_is_heavy_ball_and_nesterov_is_nesterov() -> None:
    for name, nesterov in (("sgd", False), ("nesterov", True)):
        made = make_optimizer(network(), dataclasses.replace(BASE, optimizer=name, momentum=0.8))
        assert type(made) is torch.optim.SGD
        assert made.defaults["nesterov"] is nesterov
        assert made.defaults["momentum"] == 0.8
    made = make_optimizer(network(), dataclasses.replace(BASE, optimizer="rmsproptf", second_moment=0.95, eps=1e-3))
    assert (made.defaults["alpha"], made.defaults["eps"]) == (0.95, 1e-3)
    made = make_optimizer(network(), dataclasses.replace(BASE, optimizer="adamw", momentum=0.8, second_moment=0.99))
    assert made.defaults["betas"] == (0.8, 0.99)


def rates(recipe: Recipe, steps: int) -> list[float]:
    optimizer = make_optimizer(network(), recipe)
    scheduler = make_scheduler(optimizer, recipe, steps)
    found = []
    for step in range(recipe.epochs * steps):
        scheduler.step_update(step)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_the_default_warm_up_fits_every_length() -> None:
    card = yaml.safe_load((CONF / "recipe" / "quick.yaml").read_text(encoding="utf-8"))
    quick = Recipe(**{key: value for key, value in card.items() if key != "_target_"})
    assert [dataclasses.replace(quick, epochs=n).warmup for n in (1, 2, 10)] == [0.1, 0.2, 1.0]
    assert Recipe.from_dict(json.loads(json.dumps(quick.to_dict()))) == quick
    assert rates(dataclasses.replace(quick, epochs=1), 20)[:3] == pytest.approx([0, 0.005, 0.01], abs=1e-3)


def test_schedules_at_hand_computed_points() -> None:
    cosine = rates(dataclasses.replace(BASE, warmup_epochs=1, warmup_lr=0.02, min_lr=0.001), 4)
    assert cosine[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.001 + 0.099 * 0.5 * (1 + 0.9510565)])
    assert cosine[20] == pytest.approx(0.001 + 0.099 / 2)
    linear = rates(dataclasses.replace(BASE, schedule="linear"), 4)
    assert linear[::10] == pytest.approx([0.1, 0.075, 0.05, 0.025])
    multistep = rates(dataclasses.replace(BASE, schedule="multistep", milestones=(3, 6)), 4)
    assert [multistep[i] for i in (0, 10, 12, 22, 24, 39)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    step = rates(dataclasses.replace(BASE, schedule="step", decay_epochs=2.5, decay_rate=0.5), 4)
    assert [step[i] for i in (0, 9, 10, 20, 39)] == pytest.approx([0.1, 0.1, 0.05, 0.025, 0.0125])
    assert rates(dataclasses.replace(BASE, schedule="constant", warmup_epochs=1), 4)[4:] == pytest.approx([0.1] * 36)


def test_messages_name_the_recipe() -> None:
    with pytest.raises(ValueError, match=re.escape("recipe: drop_rate")):
        dataclasses.replace(BASE, drop_rate=1.0)
