"""`nas.status` while a search of each kind works: one screen says the phase, what is done, the time left, the best."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from nas.latency.device import Device
from nas.methods.candidates.executors.local import LocalExecutor
from nas.methods.candidates.problem import Problem
from nas.runs.progress_file import ProgressFile
from nas.search.__main__ import main as search
from nas.status import Standing
from nas.terminal import progress
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import compose
from nas.terminal.entry import plain
from nas.terminal.progress import Work
from tests.golden.test_golden_runs import CANDIDATES, FBNET, SEARCHES, made_up_table
from tests.runs.test_killed_elastic import SEARCH as ELASTIC
from tests.runs.test_killed_elastic import Here

COUNTED = ["latency=off", "budget.fraction=null", "budget.macs=100000000"]
SUPERNETS = ("dnas", "single_path")
SETTINGS = {
    "dnas": [*SEARCHES["dnas_soft"], "device.name=made_up", "tables=tables"],
    "single_path": [*SEARCHES["single_path"], "device.name=made_up", "tables=tables"],
    "random": [*FBNET, "method=random", *CANDIDATES, "search.trials=3", *COUNTED],
    "regularized_evolution": [*SEARCHES["regularized_evolution"], "search.trials=3", *COUNTED],
    "predictor": [*SEARCHES["predictor"], *COUNTED],
    "joint": [*SEARCHES["predictor"], "recipe_space=small_images", *COUNTED],
    "elastic": [*ELASTIC, "recipe.epochs=1", "recipe.warmup_epochs=0"],
}
PHASES = {
    **dict.fromkeys(SETTINGS, ("training candidates", "training the network")),
    **dict.fromkeys(SUPERNETS, ("searching", "training the network")),
    "elastic": ("pretraining the supernet", "scoring candidates"),
}


class Looks:
    """A look at the run in `folder` whenever a phase has done something for the second time: what the screen says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.screens, self.counts = folder, dict[str, str](), dict[str, int]()
        self.writers: list[ProgressFile] = []
        add, begin = Work.add, ProgressFile.__init__

        def added(work: Work, amount: float, note: str) -> None:
            add(work, amount, note)
            self.counts[work.description] = self.counts.get(work.description, 0) + 1
            if self.counts[work.description] == 2:
                self.writers[0]._write(None)
                self.screens[work.description] = self.screen()

        def began(writer: ProgressFile, path: Path) -> None:
            begin(writer, path)
            self.writers.append(writer)

        monkeypatch.setattr(Work, "add", added)
        monkeypatch.setattr(ProgressFile, "__init__", began)

    def screen(self) -> str:
        paper = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(progress._screen, "console", Console(file=paper, width=120, highlight=False))
            Standing(self.folder).show()
        return paper.getvalue()


def table_for(settings: list[str]) -> None:
    """What a supernet is steered by, in the present folder."""
    config = plain(compose("search", settings))
    space = Problem.from_config(config, cards.build(config["recipe"], "recipe", {})).space
    made_up_table(space.architectures, Device("made_up"), Path("tables"))


ALSO = ("single_path", "random", "regularized_evolution", "joint")  # which take the way of another one
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in ALSO else name for name in SETTINGS]


@pytest.mark.parametrize("name", NAMES)
def test_one_screen_says_where_a_search_stands(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LocalExecutor, "open", lambda self, work: contextlib.nullcontext(Here(work)))
    if name in SUPERNETS:
        table_for(SETTINGS[name])
    looks = Looks(tmp_path / "run", monkeypatch)
    search([*SETTINGS[name], "run_dir=run"])
    for phase in PHASES[name]:
        screen = looks.screens[phase]
        words = " ".join(screen.replace("│", " ").split())
        assert "state running" in words and f"{phase} " in words and "about" in words, screen
        assert re.search(r"\d/\d+ \w+", words) and len(screen.splitlines()) <= 40, screen
        if phase.endswith(" candidates"):
            assert "best so far" in words and "% of the validation images" in words, screen
