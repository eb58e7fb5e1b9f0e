"""Figures that a README states between its markers are those of the results beside it."""

from __future__ import annotations

import runpy
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from experiments import figures, records
from experiments.wins import picture
from experiments.wins.report import at_each_budget

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
    """Means are those of the README; every network has a place in the legend, every name there its networks."""
    (at,) = at_each_budget(records.read(picture.RESULTS))
    shown = picture.dots(at)
    of_name = {name: [dot for dot in shown if dot.name == name] for name in picture.SHOWN}
    assert {name: len(dots) for name, dots in of_name.items()} == {
        **{"found": 5, "best plain: four": 5, "plain": 5, "best plain: kernel 5": 5},
        **{"random": 19, "mobilenetv4_conv_small": 5},
    }
    readme = (EXPERIMENTS / "wins" / "README.md").read_text().split("## All of CIFAR-10")[1]
    for name in ("found", "best plain: four", "plain"):
        in_order = [f"{dot.top1_percent:.2f}" for dot in sorted(of_name[name], key=lambda dot: dot.seed)]
        assert f"| {', '.join(in_order)} |" in readme, name
        assert f"| {fmean(dot.latency_ms for dot in of_name[name]):.4f} |" in readme, name
    picture.draw(shown, tmp_path / "front.png")
    assert (tmp_path / "front.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="no colour for another"):
        picture.draw([replace(shown[0], name="another")], tmp_path / "another.png")
