"""Where a search of candidates begins: at points of the space that are references, kept with the run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from nas.methods.candidates.log import keep_id, run_id
from nas.methods.candidates.trials import TrialStore
from nas.runs.run import Run
from nas.search.references import starting
from nas.search.references.request import Family
from nas.search.references.starting import Since
from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.families.hand_made.plain import plain
from search_spaces.families.mobile.found import FOUND
from search_spaces.families.mobile.space import mobile
from search_spaces.plain_data import identity
from search_spaces.pricing.budgets import Feasible, Limit
from search_spaces.recipe import Recipe
from search_spaces.recipe_space import recipe_space
from search_spaces.wrappers.joint import JointSpace

SPACE = JointSpace(mobile(32, 10, 3), recipe_space(Recipe(epochs=1, batch_size=64, lr=0.01)))


def ms(layer: Layer, shape: Shape) -> float:
    return layer.cost(shape).macs / 1e6


def conv4(width: float) -> Arch:
    return plain("plain_conv4", width, 32, 10, 3)


class Points:
    """The starting points under a budget that the plain network of `width` times the channels just holds, by a table
    that prices every network and a first guess that takes twice as many for likely."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, space: JointSpace = SPACE, width: float = 1.06) -> None:
        limit = conv4(width).macs / 1e6
        cost = space.architectures.cost(ms)
        self.feasible = Feasible(space, [Limit("latency_ms", cost, limit)])
        budget = SimpleNamespace(limit_ms=limit)
        table = SimpleNamespace(estimate_ms=lambda arch: arch.macs / 1e6)
        self.prices: Any = SimpleNamespace(
            table=table, budget=budget, budgets=SimpleNamespace(latency=budget, others=(), counted=None)
        )
        families = (Family("plain", conv4(1.0), is_scaled=True),)
        unnamed = SimpleNamespace(storage=None, study=None)
        asked = SimpleNamespace(start=True, families=families, found=())
        self.setup: Any = SimpleNamespace(references=asked, candidates=unnamed)
        guess = SimpleNamespace(of=lambda table: lambda arch: arch.macs / 2e6)
        monkeypatch.setattr(starting, "FirstGuess", guess)

    def __call__(self, run: Run) -> np.ndarray:
        return starting.starting_points(run, self.setup, self.prices, self.feasible)


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Points:
    return Points(monkeypatch)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    path = tmp_path / "run"
    (path / "checkpoints").mkdir(parents=True)
    return cast(Run, SimpleNamespace(path=path, checkpoints=path / "checkpoints", records=lambda phase: []))


def test_a_search_begins_at_the_reference_that_is_a_point(points: Points, run: Run) -> None:
    """Not at a like of one twice as wide, nor at a fused block in the place of its last convolution."""
    (found,) = points(run)
    assert SPACE.decode(found.tolist()) == conv4(1.0)


def test_it_begins_at_plain_networks_that_use_their_budget(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels are of lists: one like a network that is wider than the budget lets in may be within it. Nearest to the
    widest within 0.9 times the channels is one of 63% of that; at 1.4, the widest has a residual block."""
    for width, shares, blocks in ((0.9, [0.93], [4]), (1.4, [0.52, 0.98], [4, 3])):
        points = Points(monkeypatch, width=width)
        found = [SPACE.decode(genotype.tolist()) for genotype in points(run)]
        macs = [arch.macs / 1e6 / points.prices.budget.limit_ms for arch in found]
        assert [round(used, 2) for used in macs] == shares
        assert [sum(layer.kind == "conv_bn_act" for layer in arch.layers) - 1 for arch in found] == blocks
        (run.path / starting.NAME).unlink()


def test_it_begins_at_what_was_found_before_too_where_that_is_a_point(points: Points, run: Run, tmp_path: Path) -> None:
    """At the width that the budget lets in, of the same blocks; nowhere in a space without such blocks."""
    archs = FOUND["small"]
    points.setup.references.found = tuple(Family(name, arch, is_scaled=True) for name, arch in archs.items())
    first, *others = points(run)
    assert SPACE.decode(first.tolist()) == conv4(1.0) and len(others) == len(archs)
    for genotype, arch in zip(others, archs.values(), strict=True):
        began = SPACE.decode(genotype.tolist())
        assert [(layer.kind, getattr(layer, "stride", 1)) for layer in began.layers] == [
            (layer.kind, getattr(layer, "stride", 1)) for layer in arch.layers
        ]
        assert 0.7 * points.prices.budget.limit_ms < began.macs / 1e6 <= points.prices.budget.limit_ms
    (run.path / starting.NAME).unlink()
    dense = mobile(32, 10, 3, forms=["conv_k3"])
    points.feasible = Feasible(JointSpace(dense, SPACE.recipes), [Limit("ms", dense.cost(ms), conv4(1.06).macs / 1e6)])
    assert len(points(run)) == 1


def test_it_begins_without_what_was_found_before_where_no_width_is_within_the_budget(points: Points, run: Run) -> None:
    macs = Limit("macs", SPACE.architectures.cost(lambda layer, shape: layer.cost(shape).macs), 1e5)
    points.setup.references.families = ()
    points.setup.references.found = tuple(Family(name, arch, is_scaled=True) for name, arch in FOUND["small"].items())
    points.prices.budgets.others = (macs,)
    assert len(points(run)) == 0


def test_a_run_goes_on_from_where_it_began(
    points: Points, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = points(run)
    points.setup.references.families = ()  # whatever would be found today
    assert np.array_equal(points(run), began)
    file = run.path / starting.NAME
    stored = json.loads(file.read_text())
    file.write_text(json.dumps({**stored, "genotypes": [[0] * len(began[0])]}))
    with pytest.raises(ValueError, match=r"starting.json was changed since it was written: begin another run"):
        points(run)


def test_a_run_from_before_they_were_kept_goes_on_as_it_was(points: Points, run: Run) -> None:
    """Its study knows the points that were found then."""
    keep_id(run, run_id(run))
    (found,) = points(run)
    assert SPACE.decode(found.tolist()) != conv4(1.0) and not (run.path / starting.NAME).exists()


def test_a_new_process_begins_as_the_older_study_that_it_joins(
    points: Points, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be refused, for candidates that come first, whatever else is equal."""
    today, url = points(run).tolist(), f"sqlite:///{tmp_path / 'shared.db'}"
    keep_id(run, run_id(run))
    (run.path / starting.NAME).unlink()
    before = points(run).tolist()
    (run.checkpoints / "id.json").unlink()
    alone = before[:0]  # searched for once is enough
    narrow = [[0] * len(today[0])]  # as of other starting points of before
    found = {since: np.array(p) for since, p in zip(Since, (before, alone, narrow, today), strict=True)}
    monkeypatch.setattr(starting, "_found", lambda *_: found[_[3] if len(_) > 3 else Since.LIKE])
    points.setup.candidates = SimpleNamespace(storage=url, study="common")
    known = [({"first": identity.digest(began)}, began) for began in (before, alone, narrow)]
    for began, expected in (*known, ({"first": "of others"}, today), ({}, today)):
        joined = TrialStore(url, "common", (), owner="me", attempts=1, identity=began)
        assert points(run).tolist() == expected
        assert expected != (before if expected is today else today)
        assert points(run).tolist() == expected  # kept
        joined.close()
        (tmp_path / "shared.db").unlink()
        (run.path / starting.NAME).unlink()
    assert points(run).tolist() == today and not (tmp_path / "shared.db").exists()  # the first process of a study


@pytest.mark.parametrize(("is_older", "recipe"), [(False, [1, 2]), (True, [1, 1])])
def test_only_the_field_that_is_not_in_its_list_begins_in_the_middle(
    is_older: bool, recipe: list[int], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The learning rate of the base recipe is not in its list, its decay is; an older run goes on as it began."""
    base = Recipe(epochs=1, batch_size=64, lr=0.012, weight_decay=0.05)
    grids = recipe_space(base, lr=[0.01, 0.02], weight_decay=[0.0, 0.02, 0.05])
    points = Points(monkeypatch, JointSpace(SPACE.architectures, grids))
    if is_older:
        keep_id(run, run_id(run))
    (found,) = points(run)
    assert found[-2:].tolist() == recipe
