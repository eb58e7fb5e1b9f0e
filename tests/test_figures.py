"""Figures that a README states between its markers are those of the results beside it."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from experiments import figures

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
