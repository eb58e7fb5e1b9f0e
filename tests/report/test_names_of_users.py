"""Names come from users: whatever they are called, pages show them and run nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from nas.report.front_page import front_html
from nas.report.run_page import report_html
from nas.runs.files import write_json

from .pages import Page

NAME = "<script>alert('1 & \"2\"')</script>"
TEMPLATES = sorted((Path(__file__).parents[2] / "nas" / "report" / "templates").rglob("*.html"))
PICTURE = "iVBORw0KGgo="  # how a PNG begins


def changed(path: Path, **values: Any) -> dict[str, Any]:
    known = {**json.loads(path.read_text()), **values} if path.exists() else values
    write_json(path, known)
    return known


@pytest.fixture
def named(run: Path, tmp_path: Path) -> Path:
    """A run in which all that can be named has that name."""
    path = tmp_path / "<i>runs" / "<b>run"
    shutil.copytree(run, path)
    reference = {"name": NAME, "multiplier": 0.5, "macs": 1, "top1_percent": 99.0, "ahead": True}
    reference |= {"estimated_latency_ms": 1.0, "measured_latency_ms": 1.0, "difference_points": -9.0}
    changed(
        path / "result.json",
        **dict.fromkeys(("space", "method", "data", "weights", "not_measured"), NAME),
        references=[reference],
        references_left_out={NAME: NAME},
        undecided_positions=[NAME],
    )
    changed(path / "env.json", platform=NAME, cpu=NAME, gpu=NAME, git_commit=NAME, command=NAME, packages={NAME: NAME})
    theta = json.loads((path / "theta.json").read_text())
    labels = [[NAME, *position["labels"][1:]] for position in theta["positions"]]
    changed(
        path / "theta.json",
        positions=[{**p, "labels": found} for p, found in zip(theta["positions"], labels, strict=True)],
    )
    lever = {"name": NAME, "ordered": True, "gain": 1.0, "low": 0.5, "high": 2.0}
    level = {"label": NAME, "count": 2, "mean": 1.0, "half": 1.0}
    changed(path / "levers.json", candidates=4, levels=1, levers=[{**lever, "levels": [level]}])
    trial = {"candidate": NAME, "validation_top1_percent": 50.0, "costs": {"macs": 9.0, NAME: 9.0}, "round": 0}
    write_json(path / "trials.json", [trial, {**trial, "costs": {"macs": 8.0, NAME: 1.0}, "round": 1}])
    sample = {"row": 0, "label": 0, "answer": 1, "confidence": 0.5, "picture": PICTURE}
    changed(
        path / "answers.json",
        test_images=2,
        class_percent={NAME: 0.0, "b": 100.0},
        class_images={NAME: 1, "b": 1},
        confusion=[[0, 1], [0, 1]],
        calibration_error_percent=1.0,
        calibration_bins=15,
        samples={"wrong": [sample], "right": []},
    )
    return path


def test_pages_show_any_name_and_run_nothing(named: Path) -> None:
    text = report_html(named)
    page = Page(text)
    page.check_is_alone()
    page.check_reads_aloud()
    assert page.text.count(NAME) > 40 and "<script" not in text and "alert('1" not in text
    (named / "report.html").write_text(text)
    text = front_html(named.parent)
    page = Page(text)
    page.check_is_alone()
    assert page.text.count(NAME) >= 3 and "<script" not in text and "<i>" not in text and "<b>run" not in text
    assert [str(found["href"]) for tag, found in page.tags if tag == "a"] == ["%3Cb%3Erun/report.html"]


@pytest.mark.parametrize("template", TEMPLATES, ids=[path.stem for path in TEMPLATES])
def test_no_template_turns_escaping_off(template: Path) -> None:
    assert "safe" not in template.read_text() and "autoescape" not in template.read_text()
