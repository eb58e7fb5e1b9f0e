"""What a search says of its time before it begins: phases by hand, the pace of a trial, when more is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nas.methods.base import SupernetMethod
from nas.methods.candidates.executors.local import LocalExecutor
from nas.methods.dnas import DNAS
from nas.search.contest.of_search import pace
from nas.search.forecast.phases import Forecast, Told, forecast, phases
from nas.search.forecast.trial import seconds_an_image
from nas.search.pricing.prices import intention, price
from nas.search.settings import TYPES
from nas.search.setup import SearchSetup
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import card_values
from nas.terminal.python_settings import resolved
from nas.train.accelerator import make_accelerator
from search_spaces.families.fbnet import fbnet
from search_spaces.recipe import Recipe

pytestmark = pytest.mark.usefixtures("light_studies")

SPACE = {"card": "fbnet", "width": 0.25, "head_channels": 32, "resolution": 8, "candidates": ["k3_e1", "k3_e3", "skip"]}
TRAIN, TEST = 1348, 449  # images of the digits
ASKED = {"space": SPACE, "references": {"names": []}, "accelerator": "cpu"}


def setup(**keywords: object) -> SearchSetup:
    return SearchSetup.from_config(resolved("search", {**ASKED, **keywords}, TYPES))


def images(found: SearchSetup) -> dict[str, float | None]:
    return {phase.name: phase.images for phase in phases(found)}


def test_phases_by_hand() -> None:
    """Candidates train on 80% of the images and are judged by the rest; looking takes a third of training."""
    counted = {"budget": {"macs": 10**6}, "recipe": {"epochs": 6}, "derive": {"contest": 0}}
    searched = setup(method="random", search={"trials": 5, "epochs": 2}, **counted)
    assert images(searched) == pytest.approx(
        {"5 candidates": 5 * (0.8 * TRAIN * 2 + 0.2 * TRAIN / 3), "training": 6 * (TRAIN + TEST / 3)}
    )
    parallel = setup(method="predictor", search={"trials": 5}, executor={"workers": 4}, **counted)
    assert images(parallel)["5 candidates"] == pytest.approx(5 * (0.8 * TRAIN * 6 + 0.2 * TRAIN / 3) / 4)
    few = setup(method="predictor", search={"trials": 5, "images": 100}, **counted)
    assert images(few) == pytest.approx(
        {"5 candidates": 5 * (100 * 6 + 0.2 * TRAIN / 3), "training": 6 * (TRAIN + TEST / 3)}
    )
    elastic = setup(method="random", search={"trials": 5, "scorer": "elastic"}, **counted)
    assert list(images(elastic)) == ["pretraining", "5 candidates"]  # and the weights are those of the supernet
    assert images(elastic)["pretraining"] == pytest.approx(20 * 0.8 * TRAIN * 4)
    supernet = setup(method="dnas", recipe={"epochs": 6}, train={"evaluate_every": 0})
    assert images(supernet) == {"search, 6 epochs at most": None, "training": 6 * TRAIN}


def test_candidates_that_train_for_less_than_half_are_told(tmp_path: Path) -> None:
    counted = {"budget": {"macs": 10**6}, "recipe": {"epochs": 9}}
    for method, search, fix in (
        ("random", {"epochs": 4}, "search.epochs=5"),
        ("predictor", {"epochs": 1}, "search.epochs=5"),
        ("random", {"epochs": 5}, None),
        ("random", {}, None),
        ("random", {"epochs": 4, "scorer": "elastic"}, None),
    ):
        found = setup(method=method, search=search, **counted)
        notes = [line for line in intention(found, price(tmp_path, found)).splitlines() if "NOTE: candidates" in line]
        assert [note.rpartition("; ")[2] for note in notes] == ([fix] if fix else [])


def test_candidates_that_train_on_a_part_of_the_images_are_told(tmp_path: Path) -> None:
    counted = {"budget": {"macs": 10**6}, "recipe": {"epochs": 2}}
    found = setup(method="random", search={"images": 100}, **counted)
    assert "candidates train on 100 of the 1,348 training images" in intention(found, price(tmp_path, found))
    (tmp_path / "trials.json").write_text('[{"figures": {"train_seconds": 2.0, "epochs": 4}}, {"figures": null}]')
    assert pace(tmp_path, found) == pytest.approx(0.5 * 0.8 * TRAIN / 100)  # of a contest, which has all of them
    assert pace(tmp_path, setup(method="random", **counted)) == 0.5
    for asked, told in (
        ({"search": {"images": 1079}}, r"search.images: a limit lies between 10 \(the classes\) and 1078, got 1079"),
        ({"search": {"images": 9}}, r"search.images: a limit lies between 10 \(the classes\) and 1078, got 9"),
        ({"search": {"images": 100, "scorer": "elastic"}}, "search.images are what a candidate trains on"),
        ({"search": {"images": 100}, "method": "dnas"}, "this method trains a supernet instead: take method=predictor"),
    ):
        with pytest.raises(ValueError, match=told):
            setup(**{"method": "random", "recipe": {"epochs": 2}, **asked})


def test_half_as_many_again_are_proposed_as_workers_train() -> None:
    """Executors given as objects, too; the run keeps the number, so that a resumed one proposes as before. Where a
    whole batch is proposed at a time, as many as are trained."""
    for executor, given, together in (
        ({"workers": 1}, {}, 1),
        ({"workers": 3}, {}, 4),
        (LocalExecutor(workers=2), {}, 3),
        ({"workers": 3}, {"batch": 5}, 5),
        ({"workers": 3}, {"stop_correlation": 0.9}, 3),
    ):
        search = {"batch": None, "epochs": 4, **given}
        found = setup(method="random", budget={"macs": 10**6}, executor=executor, search=search)
        assert found.candidates.batch == found.stored["search"]["batch"] == together


def test_a_trial_is_timed_and_draws_nothing() -> None:
    arch = fbnet(resolution=8, num_classes=10, in_channels=1, width=0.25, head_channels=32)
    network = arch.decode(tuple(0 for _ in arch.positions))
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    seconds = seconds_an_image(network, Recipe(epochs=1, batch_size=8, lr=0.1), make_accelerator("cpu"))
    assert torch.equal(torch.rand(4), expected)
    assert 1e-6 < seconds < 1


def test_short_searches_say_nothing_and_long_ones_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = setup(method="random", budget={"macs": 10**6}, search={"trials": 2, "epochs": 1}, recipe={"epochs": 1})
    assert forecast(short, price(tmp_path, short)) is None
    long = setup(method="random", budget={"macs": 10**6}, search={"trials": 20}, recipe={"epochs": 10})
    found = forecast(long, price(tmp_path, long))
    assert found is not None and None not in found.seconds
    ahead = dict(zip(found.names, found.seconds, strict=True))
    known = images(long)
    ratios = [seconds / (known[name] or 0.0) for name, seconds in ahead.items() if seconds is not None]
    assert ratios == pytest.approx([ratios[0]] * len(ratios)) and ratios[0] > 0
    Told(found)
    said = capsys.readouterr().out
    assert said.startswith("about ") and "20 candidates about" in said and said.count("\n") == 1


def test_what_only_the_search_tells_is_told_once_it_has_seen_enough(capsys: pytest.CaptureFixture[str]) -> None:
    told = Told(Forecast(("search", "training"), (None, 30.0)))
    assert capsys.readouterr().out == "ahead: search known after its first steps, training about 30 s\n"
    told.see(0.0, 10.0, 99.0)
    told.see(0.1, 10.0, 20.0)  # the first step, however long it took
    told.see(0.3, 10.0, 22.0)
    assert capsys.readouterr().out == ""
    told.see(0.6, 10.0, 24.5)
    told.see(0.7, 10.0, 25.0)
    assert capsys.readouterr().out == "about 2 min 00 s ahead: search about 1 min 30 s, training about 30 s\n"


def test_epochs_that_teach_choices_take_longer() -> None:
    asked = {"epochs": 4, "warmup_epochs": 2, "weight_fraction": 0.8, "theta_passes": 3}
    method = cards.build({**card_values("method/dnas"), **asked}, "method", {})
    assert isinstance(method, DNAS)
    assert [method.work_of(epoch) for epoch in range(4)] == pytest.approx([0.8, 0.8, 1.4, 1.4])
    assert SupernetMethod.work_of(method, 0) == 1.0
