"""Tables of scores that somebody has: read, searched by every method that proposes candidates, within limits."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest

import nas
from nas.search.scores.search import search_scores
from nas.search.scores.table import ScoredTable, scored_table
from search_spaces.wrappers.listed import ListedFeasible
from search_spaces.wrappers.silent import SilentGenes
from tests.methods.test_proposals import SMALL, method


def rows() -> list[dict[str, object]]:
    sizes = {"kernel": (3, 5, 7), "act": ("relu", "swish"), "width": (16, 24, 32, 48), "lr": (0.01, 0.1)}
    return [dict(zip(sizes, values, strict=True)) for values in itertools.product(*sizes.values())]


def of(points: list[dict[str, object]]) -> ScoredTable:
    """Scores that a width and the activation decide, and a cost."""
    scores = [float(np.log(p["width"])) + 0.1 * (p["act"] == "swish") - float(p["lr"]) for p in points]  # type: ignore[arg-type]
    cost = np.array([float(p["kernel"]) * float(p["width"]) for p in points])  # type: ignore[arg-type]
    return scored_table("made_up", points, scores, {"latency_ms": cost}, recipe=1)


FULL = of(rows())
SPARSE = of([row for i, row in enumerate(rows()) if i % 3])


@pytest.mark.parametrize(
    ("table", "name"),
    [pytest.param(FULL, "random", id="full-random"), *(pytest.param(SPARSE, name, id=name) for name in sorted(SMALL))],
)
def test_every_method_asks_for_listed_points_once(table: ScoredTable, name: str) -> None:
    limits = {"latency_ms": 160.0}
    found = search_scores(table, method(name), 20, limits, batch=3)
    at = table.space.index(found.points)
    assert len(set(at.tolist())) == len(found.points) == 20 and (at >= 0).all()
    assert (table.costs["latency_ms"][at] <= 160).all() and (found.scores == table.scores[at]).all()
    again = search_scores(table, method(name), 20, limits, batch=3)
    assert (again.points == found.points).all(), "the seed decides"
    whole = search_scores(table, method(name), 500, limits, batch=16)
    assert len(whole.points) == (table.costs["latency_ms"] <= 160).sum(), "all of them, and then it ends"
    assert whole.regret[-1] == 0 and (np.diff(whole.regret) <= 0).all()
    assert whole.score == max(s for s, c in zip(table.scores, table.costs["latency_ms"], strict=True) if c <= 160)


def test_a_predictor_finds_the_best_before_chance_does() -> None:
    """A table of effects that add up, 480 points: 24 trials of the default predictor against random ones."""
    sizes = (4, 5, 4, 6)
    points = [{f"v{i}": gene for i, gene in enumerate(genes)} for genes in np.ndindex(*sizes)]
    effects = [np.random.default_rng(i).normal(size=size) for i, size in enumerate(sizes)]
    table = scored_table("sums", points, [sum(e[p[f"v{i}"]] for i, e in enumerate(effects)) for p in points], {})
    regrets = {
        name: [nas.search_scores(table, name, evaluations=24, batch=4, seed=seed).regret[-1] for seed in range(seeds)]
        for name, seeds in (("predictor", 2), ("random", 3))
    }
    assert max(regrets["predictor"]) < 0.2 < np.mean(regrets["random"])
    ranked = method("predictor").start(ListedFeasible(table.space, {}, {}), 0)
    ranked.tell(table.space.listed[:12], table.scores[:12])
    ranked.fitted()
    first = ranked.finalists(5)
    assert len(first) == 5 and not set(table.space.index(first)) & set(range(12)), "those not tried yet"


def test_points_are_found_and_what_is_not_listed_is_repaired_to_the_nearest() -> None:
    space = SPARSE.space
    assert (space.index(space.listed) == np.arange(space.size)).all()
    everything = FULL.space.listed
    missing = everything[space.index(everything) < 0]
    assert (
        len(missing) == 16 and np.isinf(ListedFeasible(space, SPARSE.costs, {"latency_ms": 1e9}).costs(missing)).all()
    )
    feasible = ListedFeasible(space, SPARSE.costs, {"latency_ms": 200.0})
    assert not feasible.mask(missing).any() and feasible.mask(feasible.enumerate()).all()
    repaired = feasible.repair(missing, np.random.default_rng(0))
    assert feasible.mask(repaired).all()
    apart = (missing[:, None] != feasible.within[None]).sum(axis=2).min(axis=1)
    assert ((repaired != missing).sum(axis=1) == apart).all()
    kept = feasible.repair(feasible.within, np.random.default_rng(0))
    assert (kept == feasible.within).all()
    genes = SilentGenes(space)
    assert (genes.blank(space.listed) == space.listed).all(), "nothing is known to be silent in a table"
    assert space.arch_genes == 3 and space.choices_of([0, 1, 2, 0]) == {
        "kernel": 3,
        "act": "swish",
        "width": 32,
        "lr": 0.01,
    }
    with pytest.raises(ValueError, match="no network can be built"):
        space.decode(space.listed[0])


def test_a_csv_is_read_as_it_is_meant(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    lines = ["lr,act,width,acc,ms", "0.1,relu,16,70,1", "0.1,relu,16,72,3", "0.1,swish,8,,2", "0.01,swish,16,75,4"]
    file.write_text("\n".join(lines))
    table = nas.read_scores(file, score="acc", costs=["ms"], recipe=["lr"])
    names = [(v.name, v.choices, v.ordered) for v in table.space.variables]
    assert names == [("act", ("relu", "swish"), False), ("width", (8, 16), True), ("lr", (0.01, 0.1), True)]
    at = table.space.index(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]))
    assert table.scores[at].tolist()[::2] == [71, 75] and np.isnan(table.scores[at][1]), "seeds are averaged"
    assert table.costs["ms"][at].tolist() == [2, 2, 4]
    found = nas.search_scores(table, "random", evaluations=9)
    assert found.best == {"act": "swish", "width": 16, "lr": 0.01} and found.score == table.best == 75
    assert nas.read_scores(file, "acc", costs=["ms"], recipe=["lr", "lr"]).space.arch_genes == 2
    with pytest.raises(ValueError, match="recipe names 'acc', which is the score or a cost and no choice"):
        nas.read_scores(file, score="acc", costs=["ms"], recipe=["lr", "acc"])
    losses = nas.read_scores(file, score="acc", costs=["ms"], minimise=True)
    assert nas.search_scores(losses, "random", evaluations=9).score == -71
    file.write_text(f"id,acc\n{2**53},1\n{2**53 + 1},3\n")  # hashes: two networks, which are one as floats
    hashes = nas.read_scores(file, score="acc")
    assert hashes.space.variables[0].choices == (2**53, 2**53 + 1) and hashes.scores.tolist() == [1, 3]


def test_what_cannot_be_searched_is_said(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    for text, score, said in (
        ("a,b\n1,2\n", "acc", r"has no column 'acc'; it has a, b"),
        ("a,acc\n1,2\n1\n", "acc", r"line 3: 2 columns are wanted"),
        ("a,acc\n1,good\n", "acc", r"line 2: acc must be a number, got 'good'"),
        ("acc\n2\n", "acc", "no choices to search"),
        ("a,acc\n1,\n", "acc", "has no score"),
        ("a,acc\n", "acc", "no choices to search"),
        ("k,k,acc\n1,2,3\n2,2,5\n", "acc", "has the column 'k' twice"),
        ("a,acc,acc\n1,2,3\n", "acc", "has the column 'acc' twice"),
        ('a,acc\n1,2\n"3"x,4\n', "acc", "line 3: not CSV: ',' expected after '\"'"),
        ('a,acc\n"1,2\n', "acc", "line 2: not CSV: unexpected end of data"),
        ("a,acc\n\n\n1,good\n", "acc", r"line 4: acc must be a number, got 'good'"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=said):
            nas.read_scores(file, score)
    for limit in ("2", None, float("nan"), True):
        with pytest.raises(ValueError, match=f"the limit on latency_ms must be a number, got {limit!r}"):
            nas.search_scores(FULL, "random", limits={"latency_ms": limit})  # type: ignore[dict-item]
    file.write_text("a,acc\n1,\n2,\n3,\n4,5\n")
    failed = next(
        found
        for seed in range(20)
        if np.isnan((found := nas.search_scores(nas.read_scores(file, "acc"), "random", 1, seed=seed)).scores).all()
    )
    for what in ("best", "score"):
        with pytest.raises(ValueError, match="all 1 trials of mine failed; give more evaluations"):
            getattr(failed, what)
    with pytest.raises(ValueError, match=r"latency_ms <= 1; it lists latency_ms 48 to 336"):
        nas.search_scores(FULL, "random", limits={"latency_ms": 1})
    with pytest.raises(ValueError, match="has no cost 'macs'; it has latency_ms"):
        nas.search_scores(FULL, "random", limits={"macs": 1})
    with pytest.raises(ValueError, match="a table has nothing to train"):
        nas.search_scores(FULL, "dnas")
    with pytest.raises(ValueError, match="evaluations and batch must be >= 1, got 0"):
        nas.search_scores(FULL, "random", evaluations=0)


def test_the_page_searches_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open("trials.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["kernel", "act", "width", "lr", "accuracy", "latency_ms"])
        for row, score, cost in zip(rows(), FULL.scores, FULL.costs["latency_ms"], strict=True):
            writer.writerow([*row.values(), score, cost / 100])
    page = (Path(__file__).parents[2] / "docs" / "predictors.md").read_text()
    (block,) = (part for part in page.split("```python\n")[1:] if "read_scores" in part)
    exec(compile(block.split("```")[0], "predictors.md", "exec"), {})
