"""The experiment `wins`: what is compared with what, in which order, and what its report claims."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from experiments import records
from experiments.dense_or_depthwise.networks import FORMS
from experiments.wins import published, report, rivals, run
from experiments.wins.searching import Search, keep_used, used_before, waited_for
from experiments.wins.setting import Setting
from nas.latency.measuring.network_time import NetworkTime
from nas.terminal.configuration.composition import compose
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe

SETTING = Setting(images=20, epochs=2, random=3)


def time_of(arch: Arch) -> float:
    return arch.macs / 1e8


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """No network is measured or trained: times follow from multiply-adds, accuracies from parameters and seed."""
    images = np.arange(20 * 28 * 28, dtype=np.uint8).reshape(20, 28, 28)
    np.savez(tmp_path / "few.npz", x_train=images, y_train=np.arange(20) % 10, x_test=images, y_test=np.arange(20) % 10)
    made = SimpleNamespace(root=str(tmp_path / "few.npz"), measured=[], searched=[], trained=[], die_after=None)
    space = SETTING.space()

    def measure(archs: Sequence[Arch], device: object, at: object, care: object) -> list[NetworkTime]:
        made.measured.append(len(archs))
        return [NetworkTime(time_of(arch), time_of(arch), 0.0) for arch in archs]

    def search(self: Search) -> dict[str, Any]:
        made.searched.append((self.share, self.seed))
        archs = rivals.drawn(space, cost, 100 * self.share, 1, self.seed)
        figures = {"asked_latency_ms": self.latency_ms, "measured_latency_ms": None, "budget_met": True}
        record = {"kind": "search", "budget": self.share, "seed": self.seed, "macs": archs[0].macs, **figures}
        more = {"estimated_latency_ms": archs[0].macs / 1e6, "contest": [], "search_seconds": 1.0}
        return {**record, **more, "processor_seconds": 36.0, "arch": archs[0].to_dict()}

    def train(setting: Setting, root: str, what: str, seed: int) -> dict[str, float]:
        if made.die_after == len(made.trained):
            raise KeyboardInterrupt
        params, which = 352_000, what
        if what != published.SHUFFLENET:
            arch = Arch.from_json(what)
            params, which = arch.params, arch.id
        made.trained.append((which, seed))
        return {"top1_percent": 50 + params % 1000 / 100 + seed, "train_seconds": 1.0, "processor_seconds": 3600.0}

    cost = space.cost(mega_macs)
    table = SimpleNamespace(environment={"calm_ms": {"6m": 2.0}}, cost=lambda space: space.cost(mega_macs))
    monkeypatch.setattr(run, "measure_networks", measure)
    monkeypatch.setattr(run, "build_table", lambda *given: table)
    monkeypatch.setattr(run, "train", train)
    monkeypatch.setattr(run, "ProcessPoolExecutor", lambda workers, mp_context: ThreadPoolExecutor(1))
    monkeypatch.setattr(Search, "run", search)
    return made


def mega_macs(layer: Any, shape: Any) -> float:
    return float(layer.cost(shape).macs) / 1e6


def test_every_rival_is_as_slow_and_what_was_interrupted_goes_on(made_up: SimpleNamespace, tmp_path: Path) -> None:
    out, settings = tmp_path / "out", {"images": 20, "epochs": 2, "random": 3}
    out.mkdir()
    made_up.die_after = 4
    with pytest.raises(KeyboardInterrupt):
        run.collect(made_up.root, out, processes=1, seeds=2, budgets="0.06,0.12", **settings)
    partial = report.text(records.read(out / "results.jsonl"))
    assert made_up.searched == [(0.06, 0)] and "0.06, seed 0: 8 of 12 trainings" in partial
    made_up.die_after = None
    for _ in range(2):  # the second time all is done
        run.collect(made_up.root, out, processes=1, seeds=2, budgets="0.06,0.12", **settings)
    assert made_up.searched == [(0.06, 0), (0.12, 0), (0.06, 1), (0.12, 1)]
    assert len(made_up.trained) == len(set(made_up.trained)) == 46
    found = records.read(out / "results.jsonl")
    for budget, seed in made_up.searched:
        mine = [r for r in found if r["kind"] == "network" and (r["budget"], r["seed"]) == (budget, seed)]
        own, *others = mine
        assert own["name"] == "found" and [r["name"] for r in others[-3:]] == ["random"] * 3
        hand_made = others[:-3]
        plain = {f"{rivals.BEST_PLAIN}: {form}" for form in rivals.best_plain(budget)}
        assert {r["name"] for r in hand_made} == {*rivals.FAMILIES, *rivals.PLAIN, *plain}
        for r in hand_made:  # none is quicker, and no narrower width of it would do
            ladder = {w["width"]: w["latency_ms"] for w in found if w["kind"] == "width" and w["name"] == r["name"]}
            same = [w for w in ladder if ladder[w] >= own["latency_ms"]]
            assert r["latency_ms"] >= own["latency_ms"] and r["latency_ms"] <= min(ladder[w] for w in same) + 1e-12
        assert all(0.9 < r["latency_ms"] / own["latency_ms"] < 1.1 for r in others[-3:])
        assert len({r["id"] for r in mine}) == len(mine)
    text = report.text(found)
    assert "46 trainings" in text and "Still to be trained" not in text and "the goal is open" in text
    with pytest.raises(ValueError, match=r"is of another setting \(epochs 2, now 3"):
        run.collect(made_up.root, out, 1, 1, "0.06", **{**settings, "epochs": 3})
    with pytest.raises(ValueError, match=r"is of another setting \(search_images None, now 10"):
        run.collect(made_up.root, out, 1, 1, "0.06", **settings, search_images=10)
    with pytest.raises(SystemExit, match=r"--budgets must be of 0.06,0.12,0.03, got 0.5"):
        run.collect(made_up.root, out, 1, 1, "0.06,0.5", **settings)


def test_the_search_is_the_default_one_by_the_common_recipe(tmp_path: Path) -> None:
    for setting in (SETTING, Setting("cifar10", elastic=3), Setting(search_images=10), Setting(candidate_images=9)):
        config = compose("search", [*setting.search_keys(), "data.root=x"])
        assert Recipe(**{k: v for k, v in config["recipe"].items() if k != "_target_"}) == setting.recipe
        assert config["space"]["method"] == "predictor" and config["search"]["epochs"] == 5
        assert config["data"]["train_limit"] == (setting.search_images or setting.images or None)
        assert config["search"]["images"] == (setting.candidate_images or None)
        assert config["search"]["scorer"] == ("elastic" if setting.elastic else "training")
        assert config["derive"]["contest"] is None and len(config["references"]["names"]) == 6
    with pytest.raises(ValueError, match="--dataset must be one of fashion_mnist, cifar10, got 'mnist'"):
        Setting("mnist")
    with pytest.raises(ValueError, match=r"--search_images must be at most --images \(20\), got 21"):
        Setting(images=20, search_images=21)


def test_published_networks_are_those_of_their_figures() -> None:
    """https://github.com/chenyaofo/pytorch-cifar-models: 10.90 and 27.97 million multiply-adds, 0.35 and 0.70 million
    parameters."""
    found = {line["name"]: line for line in published.lines()}
    figures = {name: (round(line["macs"] / 1e6, 2), round(line["params"] / 1e6, 2)) for name, line in found.items()}
    assert figures == {"ShuffleNetV2 x0.5": (10.90, 0.35), "MobileNetV2 x0.5": (27.97, 0.70)}
    recipe = Setting("cifar10").recipe
    for line in found.values():
        one, same, other = (published.built(published.what_of(line), recipe, seed).state_dict() for seed in (0, 0, 1))
        assert all(torch.equal(one[name], same[name]) for name in one)
        assert any(not torch.equal(one[name], other[name]) for name in one)
    mobile = published.built(published.what_of(found["MobileNetV2 x0.5"]), recipe, 0)
    assert published.macs(mobile) == found["MobileNetV2 x0.5"]["macs"]  # counted as those of ShuffleNet are


def test_published_networks_train_beside_what_is_found_on_cifar(made_up: SimpleNamespace, tmp_path: Path) -> None:
    rows = results(lambda name, budget, seed: 1.0)
    records.write(tmp_path / "results.jsonl", [Setting("cifar10").record(), *rows[1:]])
    for _ in range(2):  # the second time all is done
        comparison = run.Comparison(Setting("cifar10"), made_up.root, tmp_path, processes=1)
        comparison.trained(comparison.published(0))
        assert [seed for _, seed in made_up.trained] == [0, 0] and len(comparison.of("published")) == 2
    text = report.text(records.read(tmp_path / "results.jsonl"))
    assert "| ShuffleNetV2 x0.5 | 10.90 | 0.35 | 50.00, 1 seed | 90.1 | +41.00 points, 1 seed, one seed proves" in text
    searched = [{"kind": "search", "budget": 0.06, "seed": seed} for seed in range(3)]
    assert "* ShuffleNetV2 x0.5: seeds 1, 2" in report._missing(
        [*records.read(tmp_path / "results.jsonl"), *searched], []
    )
    assert not run.Comparison(Setting(), made_up.root, tmp_path / "other", processes=1).published(0)


def line(kind: str, name: str, budget: float, seed: int, **more: Any) -> dict[str, Any]:
    share = {"latency_ms": budget, "macs": 2e6, "width": None}
    return {"kind": kind, "name": name, "budget": budget, "seed": seed, "id": f"{name}-{budget}", **share, **more}


def results(points: Callable[[str, float, int], float], seeds: int = 5) -> list[dict[str, Any]]:
    """Figures whose top-1 accuracy is 90 and `points` for everything that is compared."""
    found: list[dict[str, Any]] = [Setting().record()]
    for budget in run.SHARES:
        for seed in range(seeds):
            for name in ("found", "mobilenetv2", "plain", "random"):
                top1 = 90 + points(name, budget, seed)
                found.append(line("network", name, budget, seed))
                found.append(line("training", name, budget, seed, top1_percent=top1, processor_seconds=360.0))
    return found


def test_verdicts_by_the_goal() -> None:
    def ahead(name: str, budget: float, seed: int) -> float:
        noise = 0.1 * (seed % 2)
        return {"found": 1.0 + noise, "plain": 0.2, "mobilenetv2": 0.1, "random": 0.0}[name]

    text = report.text(results(ahead))
    assert "found less the best hand-made (plain) +0.84 ± 0.07 points, 5 seeds: above" in text
    assert "the goal is reached: above the best hand-made network at 3 of 3" in text
    assert "6.00 of 60 trainings" in text
    # level everywhere: missed; one budget below: missed, however clear the others are
    level = report.text(results(lambda name, budget, seed: 0.1 * ((seed + len(name)) % 2)))
    assert "not told apart" in level and "the goal is missed" in level
    below = report.text(results(lambda n, b, s: ahead(n, b, s) - (3 if (n, b) == ("found", 0.03) else 0)))
    assert "below it at 1 (goal 0)" in below and "the goal is missed" in below and "points, 5 seeds: below" in below
    slow = results(lambda n, b, s: ahead(n, b, s) + 5 * (n == "plain"))
    for r in slow:
        r["latency_ms"] = r.get("latency_ms", 0) * (1.5 if r.get("name") == "plain" else 1)
    text = report.text(slow)  # what has no width as quick as the found network is no rival
    assert "below, 1.50 times slower: does not count" in text and "the best hand-made (mobilenetv2) +0.94" in text
    alone = report.text(results(ahead, seeds=1))
    assert "one seed proves nothing" in alone and "the goal is open" in alone
    assert "No search is finished yet" in report.text([Setting().record()])


def test_the_best_plain_network_is_that_of_all_images_where_they_are_compared(tmp_path: Path) -> None:
    def trained(form: str, images: str, top1: float) -> dict[str, Any]:
        which = {"kind": "training", "blocks": "dense", "form": form, "target": 0.06, "images": images}
        return {**which, "top1_percent": top1}

    file = tmp_path / "results.jsonl"
    rows = [trained("four", "10,000", 88), trained("seven", "10,000", 87), trained("seven", "60,000", 92)]
    records.write(file, rows)
    assert rivals.best_plain(0.05, file) == ("four",)
    records.write(file, [*rows, trained("four", "60,000", 91)])
    assert rivals.best_plain(0.05, file) == ("seven", "four")
    assert {form for share in run.SHARES for form in rivals.best_plain(share)} <= set(FORMS["dense"])


def test_processor_time_of_pieces_adds_up(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    assert used_before(folder) == 0
    keep_used(folder, 3.5)
    assert used_before(folder) == 3.5 and not folder.exists() and waited_for() >= 0
    assert json.loads((tmp_path / "search-processor.json").read_text()) == {"processor_seconds": 3.5}
