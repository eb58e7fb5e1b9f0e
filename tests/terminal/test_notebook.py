"""Outcomes and progress as a notebook shows them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from nas.derive.request import DerivedNetworks
from nas.evaluate.run import EvaluateOutcome
from nas.search.result import SearchOutcome
from nas.terminal import progress
from nas.terminal.notebook.outcome import as_html
from nas.terminal.progress import cell, phase
from nas.train.run import TrainOutcome


def test_cells_are_escaped_and_rounded() -> None:
    page = as_html("<r>", [("a", 1.23456), ("<b>", None)], ("name", "value"))
    assert "&lt;r&gt;" in page and "<td>1.235</td>" in page and "<td>&lt;b&gt;</td><td>–</td>" in page
    assert "<th>name</th><th>value</th>" in page and "<thead>" not in as_html("r", [("a", 1)])


def test_derived_networks_show_what_is_known_of_them() -> None:
    records = ({"file": "arch.json", "params": 5, "measured_latency_ms": None}, {"file": "arch-2.json", "params": 7})
    page = DerivedNetworks(Path("out"), (), (), records, ())._repr_html_()
    assert "networks in out" in page and "<td>arch-2.json</td><td>7</td>" in page and "measured" not in page


def test_all_outcomes_have_one() -> None:
    assert all(hasattr(kind, "_repr_html_") for kind in (SearchOutcome, TrainOutcome, EvaluateOutcome, DerivedNetworks))


class Notebook:
    """What IPython does of a notebook's outputs: a list, of which those with an id are replaced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.outputs: list[str] = []
        self.updates = 0
        module = ModuleType("IPython.display")
        module.HTML, module.display = str, self.display  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
        monkeypatch.setitem(sys.modules, "IPython.display", module)
        monkeypatch.setattr(progress._screen, "console", Console(force_jupyter=True))

    def display(self, html: str, display_id: bool) -> Notebook:
        assert display_id
        self.outputs.append(html)
        return self

    def update(self, html: str) -> None:
        self.outputs[-1] = html
        self.updates += 1


def test_progress_is_one_output_that_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = Notebook(monkeypatch)
    monkeypatch.setattr(cell, "DRAWN_SECONDS", 0.0)
    with phase("searching <b>", 4, "epoch") as advance:
        assert len(notebook.outputs) == 1 and "searching &lt;b&gt; <progress" in notebook.outputs[0]
        for step in range(4):
            with phase("steps", 2, "step") as inner:
                inner(1)
                assert "steps <progress" in notebook.outputs[0] and "1/2 steps" in notebook.outputs[0]
            assert "steps <progress" not in notebook.outputs[0]
            advance(1, f"loss {step}")
            assert f"{step + 1}/4 epochs" in notebook.outputs[0] and f"(loss {step})" in notebook.outputs[0]
            assert f'value="{(step + 1) / 4:.3f}"' in notebook.outputs[0]
    with phase("reading"):
        assert "<progress>" in notebook.outputs[1]
    assert len(notebook.outputs) == 2 and "4/4 epochs in 0.0 s" in notebook.outputs[0]


def test_it_is_not_drawn_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = Notebook(monkeypatch)
    monkeypatch.setattr(cell, "DRAWN_SECONDS", 60.0)
    with phase("searching", 10_000) as advance:
        for _ in range(10_000):
            advance()
    assert notebook.updates == 2 and "10000/10000" in notebook.outputs[0]


def test_a_notebook_keeps_one_bar(tmp_path: Path) -> None:
    """As a kernel runs it: no line for a step, and no other package asked for."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    source = "import time\nfrom nas.terminal.progress import phase\nwith phase('counting', 30, 'step') as advance:\n"
    source += "    for _ in range(30):\n        time.sleep(0.02)\n        advance()"
    document = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    client = nbclient.NotebookClient(document, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=environment)
    outputs = document["cells"][0]["outputs"]
    assert [output["output_type"] for output in outputs] == ["display_data"], outputs
    assert (
        "counting <progress" in outputs[0]["data"]["text/html"] and "30/30 steps in" in outputs[0]["data"]["text/html"]
    )
