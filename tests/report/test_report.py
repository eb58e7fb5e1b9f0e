"""The report page: everything of a run on it, nothing loaded from elsewhere, readable without a finished table."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from nas.derive.handover import write_archs, write_probabilities
from nas.report.__main__ import main as report
from nas.report.run_page import report_html, write_report
from nas.runs.run import Run
from search_spaces.families.single_path import single_path

from .pages import Page


def test_all_of_the_run_is_on_the_page(run: Path) -> None:
    text = write_report(run).read_text()
    assert (run / "report.html").read_text() == text
    page = Page(text)
    for words in (
        "1.6 ms",
        "6.7% over, above the budget",
        "12.5% below the measurement",
        "stage1.0",
        "k3_e1",
        "1 min 15 s",
        "The grey bar is what networks of this space can take",
    ):
        assert words in page.text, words
    assert page.text.count("k3_e1") >= 22
    assert "search: loss" in page.text and "train: loss" not in page.text
    assert "held-out networks" in page.text
    assert "nan" not in text.lower().replace("nano", "")
    assert re.search(r"seed 0, \d{4}-\d\d-\d\d \d\d:\d\d UTC", page.text)


def test_an_accuracy_near_guessing_is_marked(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "r")
    result = json.loads((run / "result.json").read_text())
    for top1, marked in ((16.2, True), (60.0, False)):
        told = {**result, "top1_percent": top1, "guessing_percent": 10.0}
        (tmp_path / "r" / "result.json").write_text(json.dumps(told))
        assert ("near guessing, which has 10%" in Page(report_html(tmp_path / "r")).text) is marked


def test_nothing_is_loaded_or_run(run: Path) -> None:
    text = report_html(run)
    page = Page(text)
    page.check_is_alone()
    page.check_reads_aloud()
    assert "<script" not in text and "&lt;script&gt;" in text
    assert not re.search(r"url\(|@import|https?://", text)


def test_figures_stay_inside(run: Path) -> None:
    seen = 0
    for box, content in re.findall(r'<svg[^>]*viewBox="0 0 ([\d. ]+)"[^>]*>(.*?)</svg>', report_html(run)):
        width, height = map(float, box.split())
        xs = re.findall(r' (?:x|x1|x2|cx)="([-\d.]+)"', content)
        ys = re.findall(r' (?:y|y1|y2|cy)="([-\d.]+)"', content)
        assert all(-1 <= float(x) <= width + 1 for x in xs)
        assert all(-1 <= float(y) <= height + 1 for y in ys)
        seen += min(len(xs), len(ys))
    assert seen > 100  # ticks, dots and bars of all charts


def test_fixed_blocks_have_no_probabilities(run: Path, tmp_path: Path) -> None:
    """Single-Path NAS fixes its first and last block: their rows stay without a bar, the others keep their own."""
    space = single_path(8, 10, 1, width=0.25, head_channels=64)
    probabilities = tuple(np.full(len(p.candidates), 1 / len(p.candidates)) for p in space.positions)
    genotype = tuple(3 for _ in space.positions)
    for name in ("config.yaml", "env.json", "metrics.jsonl"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    write_probabilities(tmp_path, space, probabilities)
    write_archs(tmp_path, space, (genotype,))
    result = json.loads((run / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps({**result, "genotype": list(genotype)}))
    table = re.split('<h2 id="layer-by-layer">', report_html(tmp_path))[1].split("</table>")[0]
    rows = table.split("<tr")[2:]
    assert len(rows) == 1 + 1 + 20 + 1 + 2
    assert [("class='fixed'" in row) for row in rows] == [True] * 2 + [False] * 20 + [True] * 3
    assert all(("<svg" in row) != ("class='fixed'" in row) for row in rows)


def test_missing_parts(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a run directory"):
        report_html(tmp_path)
    with Run.open(str(tmp_path / "x"), None, "x", {}) as opened:
        opened.log("search", 0, loss=1.0)
    with pytest.raises(ValueError, match="has the search finished"):
        report_html(tmp_path / "x")
    for name in ("config.yaml", "env.json", "metrics.jsonl", "result.json", "arch.json"):
        (tmp_path / "x" / name).write_bytes((run / name).read_bytes())
    assert "Can the latency table" not in report_html(tmp_path / "x")


def test_a_training_without_a_search(run: Path, tmp_path: Path) -> None:
    """What nas.train leaves: no space, no latency, no probabilities."""
    with Run.open(str(tmp_path / "t"), None, "train", {}) as opened:
        opened.log("train", 0, train_loss=1.0)
        (opened.path / "arch.json").write_bytes((run / "arch.json").read_bytes())
        nothing = dict.fromkeys(("space", "method", "device", "search_seconds", "weights"))
        nothing |= {f"{kind}_latency_ms": None for kind in ("asked", "estimated", "measured")}
        figures = {"data": "digits", "seed": 0, "params": 1000, "macs": 10**9, "top1_percent": 98.5, "train_seconds": 3}
        opened.write_json("result.json", nothing | figures)
    page = Page(report_html(tmp_path / "t"))
    assert "A network trained on digits" in page.text and "98.50%" in page.text and "1 G" in page.text
    assert "train: loss" in page.text and "stage1.0" in page.text and "Latency: asked" not in page.text
    assert "None" not in page.text


def test_the_candidates_of_a_search_and_their_front(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "r")
    scores = [("a", 90.0, 100), ("b", 80.0, 200), ("c", None, 300), ("d", 95.0, 400)]
    trials = [{"candidate": n, "validation_top1_percent": s, "costs": {"macs": m}} for n, s, m in scores]
    (tmp_path / "r" / "trials.json").write_text(json.dumps(trials))
    text = report_html(tmp_path / "r")
    table = text.split("All that was scored</h2>")[1].split("</table>")[0]
    assert "3 candidates were trained, 1 failed" in Page(text).text
    with (tmp_path / "r" / "config.yaml").open("a") as config:
        config.write("search: {images: 10000}\n")
    few = Page(report_html(tmp_path / "r")).text
    assert "3 candidates were trained on 10,000 of the training images, 1 failed" in few
    assert [name in table for name in (">a<", ">b<", ">c<", ">d<")] == [True, False, False, True]
    halves = [text.count(f"{which} half of the candidates: ") for which in ("earlier", "later")]
    assert halves == [1, 2]


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("result.json", [], "must be an object"),
        ("result.json", {"macs": "many"}, "macs must be a whole number >= 0, got 'many'"),
        ("result.json", {"measured_latency_ms": "fast"}, "measured_latency_ms must be a number >= 1e-09 or null"),
        ("result.json", {"asked_latency_ms": 0}, "asked_latency_ms must be a number >= 1e-09 or null"),
        ("result.json", {"measured_latency_ms": float("inf")}, "Infinity is not a number of JSON"),
        ("result.json", {"reachable_latency_ms": [1]}, "reachable_latency_ms must be a list of 2"),
        ("result.json", {"genotype": [99] * 22}, "genotype in result.json does not fit theta.json"),
        ("result.json", {"genotype": [0]}, "genotype in result.json does not fit theta.json"),
        ("env.json", [1], "must be an object"),
        ("env.json", {"packages": [1]}, "packages must be"),
        ("env.json", {"time": "yesterday"}, "time must look like 2000-12-31"),
        ("env.json", {"resumed": [{}]}, "resumed: command must be a string"),
        ("theta.json", {"positions": 5}, "positions must be a list"),
        ("theta.json", {"positions": [{"name": 1}]}, "a position: name must be a string"),
        ("theta.json", {"decided": "k3"}, "decided must be a list"),
        ("trials.json", {}, "does not hold a list of trials"),
    ],
)
def test_files_with_other_types_are_refused_by_name(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, content: object, words: str
) -> None:
    shutil.copytree(run, tmp_path / "r")
    path = tmp_path / "r" / file
    known = {} if isinstance(content, list) or file == "trials.json" else json.loads(path.read_text())
    path.write_text(json.dumps({**known, **content} if isinstance(content, dict) else content) + "\n")
    with pytest.raises(SystemExit) as stop:
        report([f"run={tmp_path / 'r'}"])
    text = capsys.readouterr().err
    assert stop.value.code == 2 and text.count("\n") == 1 and file in text and words in text, text


def test_a_run_that_lost_its_environment_has_a_report(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "r")
    (tmp_path / "r" / "env.json").unlink()
    assert "at an unknown time" in report_html(tmp_path / "r")
