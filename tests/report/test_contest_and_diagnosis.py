"""The page's sections on the contest and on where accuracy went; nothing is claimed of few networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.report.sections.contest import contest
from nas.report.sections.diagnosis import diagnosis, ranking, sentences
from nas.runs.files import write_json

from .pages import shown


def held(scores: list[float | None], percents: list[list[float | None]], epochs: tuple[int, ...] = (2, 4)) -> Any:
    """The record of a contest: `scores` in the order of the contest, `percents` of each at the rungs it reached."""
    names = [f"found-{i}" for i in range(1, len(scores) + 1)]
    rungs = []
    for number, cut in enumerate(epochs):
        there = [(name, row) for name, row in zip(names, percents, strict=True) if len(row) > number]
        rows = [
            {"name": name, "validation_top1_percent": row[number], "kept": len(row) > number + 1} for name, row in there
        ]
        rungs.append({"epochs": cut, "networks": rows})
    networks = [
        {"name": name, "score": score, "genotype": [0]} for name, score in zip(names, scores, strict=True)
    ]  # best first
    plan = {"epochs": 8, "total_epochs": 16}
    return {"networks": networks, "rungs": rungs, "winner": names[0], "score_is": "<score>", "plan": plan}


def test_each_network_has_a_row_with_its_accuracy_at_each_rung() -> None:
    page = shown(contest({"contest": held([3.0, 2.0, None], [[60.0, 70.0], [50.0, 65.0], [None]])}))
    assert "2 times a plain training" in page and "&lt;score&gt;" in page
    assert "<td class='n'>70.00 – left</td>" in page and "<td class='n'>failed</td>" in page
    assert page.index("found-1") < page.index("found-2") < page.index("found-3")
    assert "trained to the end with all" in page  # of a run from before it could be said
    anew = held([1.0, 2.0], [[60.0], [50.0]], (2,))
    anew["plan"]["from_contest"] = False
    assert "trained anew with all" in shown(contest({"contest": anew}))
    assert contest({"contest": None}) is contest({}) is None
    with pytest.raises(ValueError, match="a network at a rung: validation_top1_percent"):
        contest({"contest": held([1.0, 2.0], [[101.0], [50.0]], (2,))})


def test_late_rungs_show_the_probability_that_decided() -> None:
    found = held([1.0, 2.0], [[60.0, 70.0], [61.0, 71.0]])
    found["networks"].reverse()
    found["winner"] = "found-2"
    found["rungs"][1]["by"] = "right_class_percent"
    for row, right in zip(found["rungs"][1]["networks"], (50.25, 52.5), strict=True):
        row["right_class_percent"] = right
    page = shown(contest({"contest": found}))
    assert "71.00 (52.50)" in page and "70.00 (50.25)" in page and ">60.00<" in page
    assert "from epoch 4 on by the mean probability" in page
    assert "mean probability" not in shown(contest({"contest": held([1.0, 2.0], [[60.0], [50.0]], (2,))}))
    said = " ".join(sentences({"contest": found}))
    assert "gave the right class 2.25 points more of the probability than the first by score did, +1.00 of" in said


@pytest.mark.parametrize(("count", "claimed"), [(4, False), (5, True)])
def test_rankings_of_few_networks_are_not_judged(count: int, claimed: bool) -> None:
    said = ranking(held([float(-i) for i in range(count)], [[50.0]] * count, (2,)))
    assert ("tau 1.00" in said) == claimed and f"{count}" in said
    assert ("too few to say" in said) != claimed


def test_the_ranking_of_the_score_by_hand() -> None:
    # the score puts 5 networks as 2, 1, 3, 4, 5 of the contest: one of ten pairs is turned round
    said = ranking(held([4.0, 5.0, 3.0, 2.0, 1.0], [[50.0]] * 5, (2,)))
    assert "tau 0.80, n = 5, p = 0.08: that could be chance" in said
    assert "too few" in ranking(held([1.0] * 6, [[50.0]] * 6, (2,)))  # a score that says nothing ranks nothing


def test_what_the_contest_gained() -> None:
    found = held([1.0, 2.0, 3.0], [[60.0, 70.0], [61.0, 66.0], [40.0]])
    found["networks"].reverse()  # found-1 came last of all
    found["winner"] = "found-2"
    said = " ".join(sentences({"contest": found, "undecided_positions": ["stage1.0"]}))
    assert "after 2 epochs, 3 networks were 21.00 points apart" in said
    assert "the winner, found-2, was -4.00 points above the first by score after 4 epochs" in said
    assert "1 left undecided of the supernet's choices: stage1.0" in said
    won = " ".join(sentences({"contest": held([1.0, 2.0], [[60.0], [50.0]], (2,))}))
    assert "the network that the score put first also won" in won


def test_levers_stand_with_their_intervals(tmp_path: Path) -> None:
    levels = [
        {"label": "1", "count": 4, "mean": 50.0, "half": 1.0},
        {"label": "2", "count": 4, "mean": 55.0, "half": 1},
    ]
    sure = {"name": "depth", "ordered": True, "gain": 5.0, "low": 3.0, "high": 7.0, "levels": levels}
    unsure = {**sure, "name": "width", "gain": -1.0, "low": -3.0, "high": 1.0}
    word = {**sure, "name": "recipe.optimizer", "ordered": False}
    write_json(tmp_path / "levers.json", {"candidates": 8, "levels": 2, "levers": [sure, word, unsure]})
    page = shown(diagnosis(tmp_path, {}))
    assert "+5.00 [+3.00, +7.00]</td>" in page and ">more helps</td>" in page and "picked after it was seen" in page
    assert (
        "-1.00 [-3.00, +1.00]</td>" in page and ">not told apart from chance</td>" in page and "55.0 ± 1.0 (4)" in page
    )
    write_json(tmp_path / "levers.json", {"candidates": 8, "levers": [{**sure, "low": "x"}]})
    with pytest.raises(ValueError, match="a lever: low"):
        diagnosis(tmp_path, {})
    assert diagnosis(tmp_path / "none", {}) is None
