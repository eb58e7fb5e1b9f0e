"""`nas.derive` on runs that trained candidate by candidate: which networks it offers under which budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from nas.derive.__main__ import main
from nas.derive.budget import BudgetRequest, count_limits
from nas.latency.device import Device
from nas.latency.tables.table import LatencyTable, Row, entries
from nas.methods.candidates.problem import Problem
from nas.methods.candidates.trials import Outcome
from nas.methods.candidates.trials_file import write_trials
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import compose
from nas.terminal.entry import plain
from search_spaces import Arch
from search_spaces.pricing.budgets import Feasible
from search_spaces.wrappers.joint import JointSpace

COUNT = 24
SETTINGS = [
    "space=fbnet",
    "space.width=0.25",
    "space.head_channels=32",
    "space.resolution=8",
    "space.candidates=[k3_e1,k3_e3,k5_e6,skip]",
    "recipe_space=small_images",
    "predictor=random_forest",
    "predictor.trees=10",
]


def finished(
    folder: Path, method: str, *settings: str, alike: bool = False
) -> tuple[Path, JointSpace, np.ndarray, np.ndarray]:
    """A run of `method` whose candidates score the better the dearer they are, or `alike`; every fifth failed."""
    more = ["method.evolution.evaluations=2000"] if method == "predictor" else []
    config: dict[str, Any] = plain(compose("search", [*SETTINGS, *more, f"method={method}", *settings]))
    space = Problem.from_config(config, cards.build(config["recipe"], "recipe", {})).space
    run = folder / method
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    archs = space.architectures
    priced = [(layer, shape, layer.cost(shape).macs / 1e6) for layer, shape in entries(archs)]
    rows = tuple(Row(layer, shape, ms, 0.0, 10, ms) for layer, shape, ms in priced)
    LatencyTable("fbnet", Device(), rows, 0.0, None).save(run / "table.json")
    genotypes = space.sample(COUNT, np.random.default_rng(0))
    macs = np.array([space.decode(genotype).macs for genotype in genotypes])
    scores = np.where(np.arange(COUNT) % 5 == 0, np.nan, 90.0 if alike else 90 * macs / macs.max())
    outcomes = [
        Outcome(space.candidate_id(genotype), tuple(genotype.tolist()), 0, i, scores[i], {}, None)
        for i, genotype in enumerate(genotypes)
    ]
    write_trials(run, Feasible(space, count_limits(space, BudgetRequest(macs=int(macs.max())))), outcomes)
    return run, space, macs, scores


def derived(run: Path, *settings: str, folder: str) -> list[dict[str, Any]]:
    main([f"run={run}", "measure=false", *settings])
    found: list[dict[str, Any]] = json.loads((run / folder / "derived.json").read_text())
    return found


@pytest.mark.parametrize("method", ["random", "predictor"])
def test_of_equal_candidates_the_cheapest_is_offered(method: str, tmp_path: Path) -> None:
    """A predictor, too, which has nothing to learn from."""
    run, _, macs, _ = finished(tmp_path, method, alike=True)
    limit = int(np.median(macs))
    records = derived(run, f"budget.macs={limit}", "count=3", folder=f"derived-{limit}macs")
    assert [record["macs"] for record in records] == sorted(macs[np.arange(COUNT) % 5 > 0])[:3]
    assert {record["score_is"] for record in records} == {"observed validation accuracy, that of all candidates"}


def test_a_random_run_offers_the_best_it_trained_within_the_macs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, space, macs, scores = finished(tmp_path, "random")
    limit = int(np.median(macs))
    records = derived(run, f"budget.macs={limit}", "count=3", folder=f"derived-{limit}macs")
    within = np.flatnonzero((macs <= limit) & np.isfinite(scores))
    best = within[np.argsort(-scores[within])][:3]
    assert [record["macs"] for record in records] == macs[best].tolist()
    assert [record["score"] for record in records] == scores[best].tolist()
    assert {record["score_is"] for record in records} == {"observed validation accuracy"}
    for suffix, record in zip(("", "-2", "-3"), records, strict=True):
        arch = Arch.from_json((run / f"derived-{limit}macs" / f"arch{suffix}.json").read_text())
        assert arch.id == record["arch"] and arch.macs == record["macs"] <= limit
        recipe = json.loads((run / f"derived-{limit}macs" / f"recipe{suffix}.json").read_text())
        assert recipe == json.loads(json.dumps(space.recipe(record["genotype"]).to_dict()))
    shown = capsys.readouterr()
    assert "NOTE" not in shown.err
    # names in the table, which would fold paths; the folder below it
    assert "│ arch-2.json" in shown.out and f"files: {run / f'derived-{limit}macs'}\n" in shown.out
    main([f"run={run}", "measure=false", f"budget.macs={limit}", "count=100"])
    said = "".join(capsys.readouterr())
    assert f"NOTE: 100 were asked; no more than these {len(within)} were found within" in said
    assert "are replaced" not in said  # all that was there is among them
    main([f"run={run}", "measure=false", f"budget.macs={limit}", "count=2"])
    said = " ".join("".join(capsys.readouterr()).split())
    assert "held other networks (arch-10.json, " in said and "which are replaced; out=FOLDER keeps both" in said


def test_one_network_with_several_recipes_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, space, macs, _ = finished(tmp_path, "random")
    first, second = space.sample(2, np.random.default_rng(0))
    lr = [variable.name for variable in space.variables].index("recipe.lr")
    first[lr], again = 0, first.copy()
    again[lr] = 2
    outcomes = [
        Outcome(space.candidate_id(genotype), tuple(genotype.tolist()), 0, i, 90.0 - i, {}, None)
        for i, genotype in enumerate((first, second, again))
    ]
    write_trials(run, Feasible(space, count_limits(space, BudgetRequest(macs=int(macs.max())))), outcomes)
    limit = int(macs.max())
    derived(run, f"budget.macs={limit}", "count=3", folder=f"derived-{limit}macs")
    said = " ".join("".join(capsys.readouterr()).split())
    assert "NOTE: arch.json, arch-3.json are one network; their recipes differ in lr (0.002, 0.01)" in said
    assert said.count("are one network") == 1
    write_trials(run, Feasible(space, count_limits(space, BudgetRequest(macs=limit))), outcomes[1:])
    derived(run, f"budget.macs={limit}", "count=3", folder=f"derived-{limit}macs")
    said = " ".join("".join(capsys.readouterr()).split())
    assert "held other networks (arch.json), which are replaced" in said  # that network by another recipe stays


def test_budgets_hold_together(tmp_path: Path) -> None:
    """The table prices a network at its MACs / 1e6 ms, so that the tighter of two budgets decides."""
    run, _, macs, scores = finished(tmp_path, "random")
    low, high = (int(value) for value in np.quantile(macs, [0.3, 0.8]))
    latency_ms = low / 1e6
    folder = f"derived-{latency_ms:.4g}ms-{high}macs"
    (record,) = derived(run, f"budget.macs={high}", f"budget.latency_ms={latency_ms}", "budget.margin=0", folder=folder)
    assert record["macs"] == macs[(macs <= low) & np.isfinite(scores)].max()
    assert record["estimated_latency_ms"] == pytest.approx(record["macs"] / 1e6) and record["asked_latency_ms"] > 0


def test_without_a_budget_the_runs_own_holds(tmp_path: Path) -> None:
    run, _, macs, scores = finished(tmp_path, "random", "budget.macs=1")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["budget"]["macs"] = limit = int(np.median(macs))
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (record,) = derived(run, folder=f"derived-{limit}macs")
    assert record["macs"] == macs[(macs <= limit) & np.isfinite(scores)].max()
    assert record["asked_latency_ms"] is None  # no share of the latency range besides


def test_a_budget_below_all_trained_ones_says_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, space, macs, _ = finished(tmp_path, "random")
    smallest = int(space.count("macs").reachable()[0])
    assert smallest < macs.min()
    for limit, words in (
        (smallest, ["none of the 24 candidates", "method=predictor"]),
        (5, ["macs=5 is out of reach"]),
    ):
        with pytest.raises(SystemExit) as stop:
            main([f"run={run}", "measure=false", f"budget.macs={limit}"])
        text = capsys.readouterr().err
        assert stop.value.code == 2 and text.count("\n") == 1 and all(word in text for word in words)
    assert not list(run.glob("derived*"))


def test_a_predictor_run_offers_networks_it_has_not_trained(tmp_path: Path) -> None:
    run, space, macs, _ = finished(tmp_path, "predictor")
    smallest = int(space.count("macs").reachable()[0])
    limit = (smallest + int(macs.min())) // 2  # below everything trained
    records = derived(run, f"budget.macs={limit}", "count=4", folder=f"derived-{limit}macs")
    assert len({tuple(record["genotype"]) for record in records}) == 4
    assert max(record["macs"] for record in records) <= limit
    assert {record["score_is"] for record in records} == {"predicted validation accuracy"}
    predicted = [record["score"] for record in records]
    assert predicted == sorted(predicted, reverse=True)
