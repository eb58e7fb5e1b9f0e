"""Figures that a README states between its markers are those of the results beside it."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from experiments import figures
from experiments.mobile_search import picture

EXPERIMENTS = Path(figures.__file__).parent
REPORTS = {  # the report's arguments, by experiment and module
    ("help_fbnet_additive", "help_fbnet_additive"): [],
    ("help_fbnet_few_shot", "help_fbnet_few_shot"): [],
    ("latency_proof", "latency_proof"): [],
    ("predictor_ranking", "predictor_ranking"): [],
    ("runtimes", "runtimes"): [],
    ("joint_ranking", "predictor_ranking"): [str(EXPERIMENTS / "joint_ranking")],
}


@pytest.mark.parametrize(("experiment", "module"), REPORTS)
def test_readmes_state_what_was_measured(experiment: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    filled: list[tuple[Path, str]] = []
    monkeypatch.setattr(figures, "fill", lambda readme, text: filled.append((readme, text)))
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *given, **options: None)
    monkeypatch.setattr(sys, "argv", ["report", *REPORTS[experiment, module]])
    runpy.run_module(f"experiments.{module}.report", run_name="__main__")
    ((readme, text),) = filled
    assert readme == EXPERIMENTS / experiment / "README.md"
    assert f"{figures.START}\n\n{text}\n\n{figures.END}" in readme.read_text()


def test_what_lies_outside_of_the_markers_stays(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{figures.START}\nold\n{figures.END}\nafter\n")
    for text in ("new", "newer"):
        figures.fill(readme, text)
        assert readme.read_text() == f"before\n{figures.START}\n\n{text}\n\n{figures.END}\nafter\n"
    readme.write_text("no markers")
    with pytest.raises(ValueError, match="to be filled"):
        figures.fill(readme, "new")
    assert readme.read_text() == "no markers"


def test_the_picture_of_the_front_page_shows_what_was_measured(tmp_path: Path) -> None:
    """Means are those of the experiment's README, found networks with the one training that is theirs."""
    shown = picture.networks(EXPERIMENTS / "mobile_search" / "results.jsonl")
    of_name = {name: [network for network in shown if network.name == name] for name in picture.SHOWN}
    assert {name: len(found) for name, found in of_name.items()} == {
        **{"predictor": 3, "random": 3},
        **{"seven convolutions": 1, "MobileNetV2": 1},
    }
    readme = (EXPERIMENTS / "mobile_search" / "README.md").read_text()
    for name, networks in of_name.items():
        top1 = [percent for network in networks for percent in network.top1_percent]
        assert len(top1) == 3 and f"{sum(top1) / 3:.2f} ±" in readme, name
    assert of_name["random"][1].share == pytest.approx(0.028, abs=5e-4)
    assert of_name["random"][1].top1_percent == (87.62,)
    picture.draw(shown, tmp_path / "front.png")
    assert (tmp_path / "front.png").stat().st_size > 10_000
