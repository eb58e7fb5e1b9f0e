"""Putting a search problem together: a space for the data at hand, and a budget that the space can meet."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nas import cards
from nas.candidate import Order
from nas.data import ImageData
from nas.data.card import data_of
from nas.models import resolve
from search_spaces.additive import AdditiveCost
from search_spaces.budgets import Limit, find_anchor
from search_spaces.costs import Count
from search_spaces.joint import JointSpace, single
from search_spaces.recipe import Recipe
from search_spaces.space import Genotype, SearchSpace

Latency = Literal["auto", "on", "off"]
FROM_DATA = ("resolution", "num_classes", "in_channels")


def build_space(card: Mapping[str, Any], data: ImageData | None = None) -> SearchSpace:
    """The space of `card`. Keys left null take the data's value; without data, the space's own default."""
    values = {key: value for key, value in card.items() if not (key in FROM_DATA and value is None)}
    values.pop("method", None)  # the space's own method, for the command line
    if data is not None:
        for key in FROM_DATA:
            if key in card:
                values.setdefault(key, getattr(data, key))
        for key in ("num_classes", "in_channels"):
            if key in values and values[key] != getattr(data, key):
                raise ValueError(
                    f"space.{key} is {values[key]}, but {data.name} has {getattr(data, key)}; leave it out"
                )
    space = cards.build(values, "space", {})
    assert isinstance(space, SearchSpace)
    return space


def problem_of(config: Mapping[str, Any], recipe: Recipe) -> tuple[ImageData, JointSpace]:
    """The data of a search and the space of its candidates, from its resolved configuration.

    With `arch` (a file, a model folder or a published name) only recipes are searched, for that network fitted to the
    data. Raises `ValueError` where nothing is left to search.
    """
    recipes = cards.build(config["recipe_space"], "recipe_space", {"base": recipe})
    if config["arch"]:
        given = resolve(config["arch"]).arch
        data = data_of(config["data"], given.resolution)
        if not recipes.variables:
            raise ValueError("arch= leaves only recipes to search; give a recipe_space, such as small_images")
        fit = dataclasses.replace(given, resolution=data.resolution, in_channels=data.in_channels)
        return data, JointSpace(single(fit.with_classes(data.num_classes)), recipes)
    resolution = config["space"].get("resolution") or config["data"].get("resolution")
    data = data_of({**config["data"], "resolution": resolution})
    return data, JointSpace(build_space(config["space"], data), recipes)


def order_maker(config: Mapping[str, Any], space: JointSpace, data: ImageData) -> Callable[[str, Genotype], Order]:
    """From a candidate (id, genotype) to the order that trains it on `data`."""

    def make(candidate: str, genotype: Genotype) -> Order:
        return Order(
            arch=space.decode(genotype).to_dict(),
            recipe=space.recipe(genotype).to_dict(),
            data=dict(config["data"]),
            fingerprint=data.fingerprint,
            validation_fraction=config["search"]["validation_fraction"],
            seed=config["seed"],
            candidate=candidate,
            accelerator=config["accelerator"],
            precision=config["precision"],
        )

    return make


@dataclass(frozen=True)
class Budget:
    """A latency budget: what was asked, and the limit on the *estimate* that leaves room for the table's error.

    All in milliseconds. `limit_ms = asked_ms / (1 + margin)`, but never below the cheapest network. `tolerance`: the
    share by which a measurement may exceed the budget and count as within it all the same.
    """

    asked_ms: float
    limit_ms: float
    margin: float
    low_ms: float
    high_ms: float
    tolerance: float = 0.0

    @property
    def ceiling_ms(self) -> float:
        """The largest measurement that is within the budget."""
        return self.asked_ms * (1 + self.tolerance)


def count_limits(space: SearchSpace, macs: int | None, params: int | None) -> list[Limit]:
    """The budgets asked on multiply-adds and parameters, for one image. Raises `ValueError` for one out of reach."""
    limits = []
    budgets: tuple[tuple[Count, int | None], ...] = (("macs", macs), ("params", params))
    for name, asked in budgets:
        if asked is None:
            continue
        if asked < 1:
            raise ValueError(f"budget.{name} must be >= 1, got {asked}")
        limits.append(Limit(name, space.count(name), float(asked)))
    find_anchor(limits, len(space.variables))
    return limits


def resolve_budget(
    cost: AdditiveCost, latency_ms: float | None, fraction: float | None, margin: float, tolerance: float = 0.0
) -> Budget | None:
    """The budget asked by `latency_ms`, else the point `fraction` of the reachable range; None where both are None.

    Raises `ValueError` with the reachable range for a budget that no network of the space meets.
    """
    low, high = cost.reachable()
    if latency_ms is None:
        if fraction is None:
            return None
        if not 0 <= fraction <= 1:
            raise ValueError(f"budget.fraction must lie between 0 and 1, got {fraction:g}")
        latency_ms = low + fraction * (high - low)
    check_budget(latency_ms)
    if margin < 0:
        raise ValueError(f"budget.margin must be >= 0, got {margin:g}")
    if latency_ms < low:
        raise ValueError(
            f"budget.latency_ms={latency_ms:.4g} is out of reach: networks of this space take {low:.4g} to {high:.4g} "
            "ms on this device"
        )
    return Budget(latency_ms, max(low, latency_ms / (1 + margin)), margin, low, high, tolerance)


def needs_latency(latency: str, asked: Mapping[str, Any], supernet: bool) -> bool:
    """Whether a search needs the device's latency table, by the key `latency` and its budgets.

    `auto`: where a budget or a supernet's steering asks for it; `on`: always; `off`: never. Raises `ValueError` where
    `off` contradicts what is asked.
    """
    if latency == "off":
        if asked["latency_ms"] is not None:
            raise ValueError("latency=off leaves nothing to hold budget.latency_ms by; leave one of the two out")
        if supernet:
            raise ValueError("latency=off: this method is steered by the latency table; use method=predictor or random")
        return False
    counted = asked["macs"] is not None or asked["params"] is not None
    by_default = asked["fraction"] is not None and not counted
    return latency == "on" or supernet or asked["latency_ms"] is not None or by_default


def check_budget(latency_ms: float | None) -> None:
    """Refuse a budget that is no positive number, before anything is measured."""
    if latency_ms is not None and not 0 < latency_ms < float("inf"):
        raise ValueError(f"budget.latency_ms must be a positive number of milliseconds, got {latency_ms:g}")
