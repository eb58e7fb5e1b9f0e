"""Halving as a plan: what it costs is known before it begins."""

from __future__ import annotations

import pytest

from nas.search.contest.plan import Plan, plan_of
from nas.search.contest.settings import ContestSettings, by_default

HALVING = ContestSettings(8)


def test_halving_by_hand() -> None:
    plan = plan_of(HALVING, 8, 16)
    assert (plan.cuts, plan.kept) == ((8, 12, 14), (4, 2, 1))
    # 8 networks for 8 epochs, 4 for 4 more, 2 for 2 more, and one anew, or for the 2 that are left
    assert plan.alive == (8, 4, 2) and plan.contest_epochs == 64 + 16 + 4 and plan.total_epochs == 84 + 16
    said = plan.sentence()
    assert "8 networks, 4 after 8 epochs, 2 after 12 epochs, 1 after 14 epochs" in said
    assert "100 epochs of training in all, 6.2 times the 16 of a plain training" in said and "min" not in said
    assert plan_of(HALVING, 8, 16, from_contest=True).total_epochs == 86
    assert "about 42.0 min" in plan.sentence(seconds_per_epoch=30)


@pytest.mark.parametrize("reduction", [2, 3, 4])
@pytest.mark.parametrize("networks", [2, 3, 6, 9, 17])
@pytest.mark.parametrize("epochs", [2, 3, 10, 200])
def test_any_plan_ends_with_one(reduction: int, networks: int, epochs: int) -> None:
    plan = plan_of(ContestSettings(networks, reduction), networks, epochs)
    assert plan.kept[-1] == 1 and list(plan.kept) == sorted(plan.kept, reverse=True)
    assert list(plan.cuts) == sorted(set(plan.cuts)) and plan.cuts[0] >= 1 and plan.cuts[-1] < epochs
    assert epochs < plan.total_epochs - plan.cuts[-1] <= networks * epochs
    cuts = [plan.cut(rung, 7 * epochs) for rung in range(len(plan.cuts))]
    assert cuts == [7 * cut for cut in plan.cuts] and plan.cut(0, epochs) == plan.cuts[0]


def test_references_lengthen_no_rung() -> None:
    alone, together = (plan_of(ContestSettings(4), networks, 16, found=4) for networks in (4, 10))
    assert together.cuts == alone.cuts == (8, 12) and together.kept == (5, 1)


def test_rungs_as_they_are_asked() -> None:
    plan = plan_of(ContestSettings(9, 3, (1, 6)), 9, 10)
    assert plan == Plan(9, 10, (1, 6), (3, 1))
    assert plan_of(ContestSettings(9, 3, (1, 6)), 9, 10, from_contest=True) == Plan(9, 10, (1, 6), (3, 1), True)
    assert plan_of(ContestSettings(8, 2, (5,)), 8, 10).kept == (1,)  # one rung decides alone
    with pytest.raises(ValueError, match="ends at epoch 11, behind the 10 of the training"):
        plan_of(ContestSettings(4, rungs=(5, 11)), 4, 10)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"networks": 1}, "0, which switches it off, or >= 2 networks, got 1"),
        ({"reduction": 1}, "must be >= 2"),
        ({"rungs": ()}, "each above the one before"),
        ({"rungs": (4, 4)}, r"each above the one before, got \[4, 4\]"),
        ({"apart": 1.5}, "between 0 and 1, got 1.5"),
    ],
)
def test_mistakes_are_named(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ContestSettings(**settings)  # type: ignore[arg-type]


def test_the_default_is_held_where_it_tells_networks_apart() -> None:
    assert by_default(epochs=10, images=12_000) == 6
    assert by_default(epochs=10, images=270) == by_default(epochs=2, images=12_000) == 0
    assert ContestSettings.from_config({"mode": None}).networks == 0  # a run from before there were contests
    assert ContestSettings.from_config({"contest": None, "rungs": [1, 2]}).rungs == (1, 2)
    assert ContestSettings(apart=0.1).distance(22) == 3 and ContestSettings(apart=0.0).distance(22) == 1
    assert ContestSettings(apart=0.1).distance(20) == 2
