"""Contests: who stays and who wins, whatever executes them and however often they are interrupted."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from nas.methods.candidates.executors.local import LocalExecutor
from nas.methods.candidates.executors.ray import RayExecutor
from nas.runs import checkpoint
from nas.search.contest.plan import Plan, plan_of
from nas.search.contest.record import read
from nas.search.contest.settings import ContestSettings
from nas.search.contest.standings import sentence
from nas.train.training import Options, build_network, train
from search_spaces.plain_data.identity import digest
from tests.methods.gradient_task import DATA
from tests.runs.killed_runs import same
from tests.search.contest.contests import RECIPE, MadeUp, Real, entrants, held
from tests.search.contest.test_contest_in_a_search import without_times

pytestmark = pytest.mark.usefixtures("light_studies")

LONG = dataclasses.replace(RECIPE, epochs=16)
FIVE = entrants((0, 0, 0, 0), (1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3), (0, 1, 2, 3), recipe=LONG)
PLAN = plan_of(ContestSettings(5, rungs=(2, 4, 8)), 5, 16, from_contest=True)  # 3 after 2 epochs, 2 after 4, 1 after 8
IDS = [entrant.arch.id for entrant in FIVE]


def late(arch: str, epochs: int) -> float:
    """The third is best in the end, begins third; the first falls off."""
    return {0: 50 - epochs, 1: 40, 2: 30 + 4 * epochs, 3: 20, 4: 10}[IDS.index(arch)]


def outcome(folder: Path) -> Any:
    stored = read(folder)
    return {key: stored[key] for key in ("trained", "outcome", "identity")}


def test_who_is_ahead_at_a_rung_stays(tmp_path: Path) -> None:
    executor = MadeUp(late)
    found = held(tmp_path / "r", executor, PLAN, FIVE)
    standings = found.standings
    assert (PLAN.cuts, PLAN.kept) == ((2, 4, 8), (3, 2, 1))
    assert [[entrant.name for entrant in rung.entrants] for rung in standings.rungs] == [
        ["found-1", "found-2", "found-3", "found-4", "found-5"],
        ["found-1", "found-3", "found-2"],
        ["found-3", "found-1"],
    ]
    assert [rung.kept for rung in standings.rungs] == [3, 2, 1]
    assert [entrant.name for entrant in standings.order] == [f"found-{i}" for i in (3, 1, 2, 4, 5)]
    assert standings.winner is FIVE[2] and found.begin is not None and found.begin.epochs == 8
    # each once up to each rung that it reached, nothing twice
    assert sorted(executor.seen) == sorted([*((arch, 2) for arch in IDS), *((IDS[i], 4) for i in (0, 1, 2)),
                                            (IDS[0], 8), (IDS[2], 8)])  # fmt: skip
    assert standings.train_seconds == 8 + 8 + 4 + 2 + 2
    stored = json.loads((tmp_path / "r" / "contest.json").read_text())["outcome"]
    assert stored["winner"] == "found-3" and stored["networks"][0]["genotype"] == [2, 2, 2, 2]
    assert stored["rungs"][1]["networks"][2] == {
        "name": "found-2", "validation_top1_percent": 40.0, "right_class_percent": 40.0, "loss": 1.0, "kept": False,
    }  # fmt: skip
    assert stored["plan"]["total_epochs"] == PLAN.total_epochs == 5 * 2 + 3 * 2 + 2 * 4 + 8


def test_nearly_trained_networks_are_compared_by_the_probability_of_the_right_class(tmp_path: Path) -> None:
    """From three quarters on; where an earlier version began the contest, by accuracy to its end."""
    late_too = plan_of(ContestSettings(5, rungs=(2, 12)), 5, 16)

    def right(arch: str, epochs: int) -> float:
        return 10.0 * IDS.index(arch)  # the last is surest, from the beginning

    alike = dataclasses.replace(FIVE[2], recipe=dataclasses.replace(LONG, decay_rate=0.5))  # of which a cosine has none
    standings = held(tmp_path / "r", MadeUp(late, right=right), late_too, [*FIVE[:2], alike, *FIVE[3:]]).standings
    assert [rung.by for rung in standings.rungs] == ["top1_percent", "right_class_percent"]
    assert [entrant.name for entrant in standings.order] == [f"found-{i}" for i in (3, 2, 1, 4, 5)]
    turned = {IDS[0]: 80.0, IDS[1]: 60.0, IDS[2]: 40.0}
    executor = MadeUp(late, die_after=5, right=lambda arch, epochs: turned.get(arch, 0.0))
    with pytest.raises(KeyboardInterrupt):
        held(tmp_path / "before", executor, late_too, FIVE)
    shutil.copytree(tmp_path / "before", tmp_path / "now")
    path = tmp_path / "before" / "contest.json"
    stored = json.loads(path.read_text())
    del stored["late_figure"], stored["digest"]
    for rungs in stored["trained"].values():
        for figures in rungs.values():
            del figures["right_class_percent"]
    path.write_text(json.dumps({**stored, "digest": digest(stored)}))
    for folder, winner in (("before", FIVE[2]), ("now", FIVE[0])):
        executor = MadeUp(late, right=lambda arch, epochs: turned.get(arch, 0.0))
        standings = held(tmp_path / folder, executor, late_too, FIVE).standings
        assert standings.winner is winner and len(executor.seen) == 3
    assert "of the probability for their right classes, which decided," in sentence(standings.to_dict())


def test_accuracy_decides_where_the_probability_of_the_right_class_tells_something_else(tmp_path: Path) -> None:
    """Of recipes that differ, where a worker of another version did not say it, and where it is no number."""
    late_too = plan_of(ContestSettings(5, rungs=(2, 12)), 5, 16)
    smoothed = dataclasses.replace(FIVE[2], recipe=dataclasses.replace(LONG, label_smoothing=0.1))
    sure = {IDS[0]: 90.0}
    for number, (field, others) in enumerate([([*FIVE[:2], smoothed, *FIVE[3:]], 20.0), (FIVE, math.nan)]):
        executor = MadeUp(late, right=lambda arch, epochs, others=others: sure.get(arch, others))
        standings = held(tmp_path / f"{number}", executor, late_too, field).standings
        assert standings.winner is field[2] and [rung.by for rung in standings.rungs] == ["top1_percent"] * 2
        assert "which decided" not in sentence(standings.to_dict())
    executor = MadeUp(late)
    wait = executor.wait
    executor.wait = lambda seconds: [
        dataclasses.replace(done, result={k: v for k, v in done.result.items() if k != "right_class_percent"})
        for done in wait(seconds)
    ]
    assert held(tmp_path / "older", executor, late_too, FIVE).standings.rungs[1].by == "top1_percent"


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_and_interruptions_change_nothing(workers: int, tmp_path: Path) -> None:
    held(tmp_path / "whole", MadeUp(late), PLAN, FIVE)
    seen = []
    for _ in range(30):
        executor = MadeUp(late, workers, die_after=2)
        try:
            held(tmp_path / "part", executor, PLAN, FIVE)
            break
        except KeyboardInterrupt:
            seen += executor.seen
    assert len(seen) >= 8 and len(seen) == len(set(seen))  # nothing that was settled is trained again
    assert outcome(tmp_path / "part") == outcome(tmp_path / "whole")
    again = MadeUp(late)
    assert held(tmp_path / "part", again, PLAN, FIVE).standings.winner is FIVE[2] and not again.seen
    anew = held(tmp_path / "part", again, dataclasses.replace(PLAN, from_contest=False), FIVE)
    assert anew.begin is None and anew.standings.winner is FIVE[2] and not again.seen


def test_another_field_keeps_what_was_trained(tmp_path: Path) -> None:
    held(tmp_path / "r", MadeUp(late), PLAN, FIVE)
    executor = MadeUp(late)
    without = [FIVE[i] for i in (0, 1, 3, 4)]
    found = held(tmp_path / "r", executor, PLAN, without)
    assert found.standings.winner.arch.id == IDS[0]
    assert set(executor.seen) == {(IDS[3], 4), (IDS[1], 8)}  # those that did not get so far before
    other = MadeUp(late)
    held(tmp_path / "r", other, PLAN, FIVE, seed=1)
    assert len(other.seen) == 5 + 3 + 2  # of another seed nothing counts


def test_failures_lose_and_are_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def failing(arch: str, epochs: int) -> float:
        if IDS.index(arch) in (0, 1) and epochs > 2:
            raise ValueError("the loss is nan")
        return late(arch, epochs)

    executor = MadeUp(failing)
    standings = held(tmp_path / "r", executor, PLAN, FIVE).standings
    assert (
        executor.seen.count((IDS[0], 4)) == 2 and "tried again: ValueError: the loss is nan" in capsys.readouterr().out
    )
    assert [rung.kept for rung in standings.rungs] == [3, 1, 1] and standings.winner is FIVE[2]
    assert standings.to_dict()["networks"][1]["validation_top1_percent"] is None

    def hopeless(arch: str, epochs: int) -> float:
        raise ValueError("no disk")

    with pytest.raises(ValueError, match="none of the 5 networks of the contest could be trained: ValueError: no disk"):
        held(tmp_path / "none", MadeUp(hopeless), PLAN, FIVE)


def test_a_reference_may_win_and_the_best_of_the_search_goes_on(tmp_path: Path) -> None:
    reference = dataclasses.replace(FIVE[2], name="mobilenetv2", genotype=None, score=None)
    field = [*FIVE[:2], *FIVE[3:], reference]
    found = held(tmp_path / "r", MadeUp(lambda arch, epochs: late(arch, epochs) + 50 * (arch == IDS[2])), PLAN, field)
    assert found.standings.winner is reference and found.standings.best is FIVE[0]
    assert found.begin is not None and found.begin.epochs == 8 and FIVE[0].key in found.begin.path.name
    assert found.standings.to_dict()["networks"][0] | {"epochs": 0} == {
        "name": "mobilenetv2", "arch": IDS[2], "genotype": None, "score": None, "epochs": 0,
        "validation_top1_percent": late(IDS[2], 8) + 50,
    }  # fmt: skip


def test_equal_accuracies_fall_to_who_stood_in_front(tmp_path: Path) -> None:
    standings = held(tmp_path / "r", MadeUp(lambda arch, epochs: 50.0), PLAN, FIVE).standings
    assert list(standings.order) == FIVE


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    held(tmp_path / "r", MadeUp(late), PLAN, FIVE)
    path = tmp_path / "r" / "contest.json"
    path.write_text(path.read_text().replace("40.0", "99.0"))
    with pytest.raises(
        ValueError, match=r"contest.json does not hold a contest: its content does not match its digest"
    ):
        held(tmp_path / "r", MadeUp(late), PLAN, FIVE)


TWO = Plan(2, 4, (1, 2), (2, 1), from_contest=True)


def test_a_rung_is_a_cut_of_the_whole_training(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, ema_decay=0.9)
    two = entrants((0, 0, 0, 0), (1, 2, 1, 2), recipe=recipe)
    here = held(tmp_path / "here", Real(), TWO, two)
    there = held(tmp_path / "there", Real(tmp_path / "no such disk"), TWO, two)
    assert here.standings.order == there.standings.order
    winner, part = here.standings.winner, DATA.held_out(0.75, 0)
    whole = train(build_network(winner.arch, recipe), part, recipe, options=Options(stop_epoch=2))
    record = read(tmp_path / "here")["trained"][winner.key]["2"]
    assert (record["top1_percent"], record["loss"]) == (whole["top1_percent"], whole["loss"])
    # the last one goes on with all images, at the learning rate that the schedule has there, wherever it was trained
    finals = []
    for found in (here, there):
        rates: list[float] = []
        network = build_network(winner.arch, recipe)
        options = Options(tmp_path / f"{len(finals)}.pt", begin=found.begin, on_epoch=_into(rates))
        figures = train(network, DATA, recipe, options=options)
        finals.append((figures["top1_percent"], figures["loss"]))
        assert len(rates) == 2 and rates == sorted(rates, reverse=True) and rates[0] < recipe.lr / 2
        with pytest.raises(ValueError, match="belongs to something else"):  # its checkpoint knows that it was begun
            train(build_network(winner.arch, recipe), DATA, recipe, options=Options(tmp_path / f"{len(finals) - 1}.pt"))
    assert finals[0] == finals[1]


@pytest.mark.slow  # processes that import torch, and a cluster
@pytest.mark.parametrize(
    "executor", [LocalExecutor(workers=2), RayExecutor(address=None, workers=2)], ids=["local", "ray"]
)
def test_other_processes_and_clusters_change_nothing(executor: Any, tmp_path: Path, monkeypatch) -> None:
    """Figures, order and checkpoints are those of this process, of networks that begin with weights too."""
    if isinstance(executor, RayExecutor):
        pytest.importorskip("ray", reason="ray is not installed (extra `ray`)")
    three = entrants((0, 0, 0, 0), (1, 2, 1, 2), (3, 3, 3, 3))
    begun = build_network(three[1].arch, RECIPE, seed=7).state_dict()
    three[1] = dataclasses.replace(three[1], inherit=lambda: safetensors.torch.save(begun))
    plan = Plan(3, 4, (1, 2), (2, 1))
    here, there = (held(tmp_path / name, one, plan, three) for name, one in (("here", Real()), ("there", executor)))
    assert [entrant.name for entrant in here.standings.order] == [entrant.name for entrant in there.standings.order]
    assert without_times(outcome(tmp_path / "here")) == without_times(outcome(tmp_path / "there"))
    files = [sorted((tmp_path / name / "checkpoints").glob("contest-*/*.pt")) for name in ("here", "there")]
    assert [path.name for path in files[0]] == [path.name for path in files[1]] and len(files[0]) >= 3
    for one, other in zip(*files, strict=True):
        assert same(checkpoint.load(one), checkpoint.load(other)), one.name


def _into(rates: list[float]) -> Any:
    return lambda epoch, record: rates.append(record["lr"])


def test_what_a_training_goes_on_from_is_checked(tmp_path: Path) -> None:
    two = entrants((0, 0, 0, 0), (1, 2, 1, 2))
    begin = held(tmp_path / "r", Real(), TWO, two).begin
    assert begin is not None
    state = checkpoint.load(begin.path)
    assert state["progress"]["epoch"] == 2
    other = next(entrant for entrant in two if entrant.arch.id != state["identity"]["arch"])
    for changed, arch in (
        (begin, other.arch),
        (dataclasses.replace(begin, epochs=1), None),
        (dataclasses.replace(begin, data="else"), None),
    ):
        own = arch or next(entrant.arch for entrant in two if entrant is not other)
        with pytest.raises(ValueError, match="belongs to something else"):
            train(build_network(own, RECIPE), DATA, RECIPE, options=Options(tmp_path / "t.pt", begin=changed))


def test_a_lost_or_damaged_checkpoint_is_made_again(tmp_path: Path) -> None:
    two = entrants((0, 0, 0, 0), (1, 2, 1, 2))
    begin = held(tmp_path / "r", Real(), TWO, two).begin
    assert begin is not None
    before = checkpoint.load(begin.path)
    for name in ("unlink", "damage"):
        if name == "unlink":
            for generation in begin.path.parent.glob("*.pt"):
                generation.unlink()
        else:
            content = bytearray(begin.path.read_bytes())
            content[len(content) // 2] ^= 4
            begin.path.write_bytes(content)
        held(tmp_path / "r", Real(), TWO, two)
        again = checkpoint.load(begin.path)
        assert torch.equal(*(next(iter(state["network"].values())) for state in (before, again)))
