"""Parts of a run's page, each by what it must say: budgets, the drawing, answers, phases, files beside the page."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from nas.data.digits import digits
from nas.derive.verdict import COSTS
from nas.latency.tables.table import LatencyTable
from nas.networks.creation import create_model
from nas.report.figures import as_csv, charts_of
from nas.report.pictures import as_png
from nas.report.run_page import report_html, write_report
from nas.report.sections.budgets import budgets
from nas.report.sections.costs import costs
from nas.report.sections.latency import latency
from nas.report.sections.references import ahead, references
from nas.report.sections.stages import SHARES, Drawn, nearest, stages
from nas.runs.files import write_json
from nas.train.answers.of_run import write_answers
from search_spaces.arch import Arch
from search_spaces.families.fbnet import fbnet
from search_spaces.families.hand_made.scaling import fitted
from search_spaces.resolution import canonical
from search_spaces.space import SearchSpace
from search_spaces.zoo import published

from .pages import Page, shown

MOST_BYTES = 2_000_000  # of a page


@pytest.fixture(scope="module")
def answered(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with what an untrained network answers to the digits."""
    folder = tmp_path_factory.mktemp("answered") / "r"
    shutil.copytree(run, folder)
    torch.manual_seed(0)
    small = fbnet(resolution=8, num_classes=10, in_channels=1, width=0.25, head_channels=32)
    write_answers(folder, create_model(small.decode(tuple(0 for _ in small.positions))), digits(8))
    return folder


@pytest.mark.parametrize("seed", range(4))
def test_every_budget_that_was_asked_is_shown_with_its_use(seed: int) -> None:
    rng = np.random.default_rng(seed)
    result: dict[str, Any] = dict.fromkeys(("asked_latency_ms", "measured_latency_ms", "estimated_latency_ms"))
    asked = [(key, name) for key, name, _ in COSTS if rng.random() < 0.6]
    for key, _, _ in COSTS:
        result |= {key: int(rng.integers(10, 1000)), f"asked_{key}": None}
    for key, _ in asked:
        result[f"asked_{key}"] = int(rng.integers(10, 1000))
    result["budget_met"] = all(result[key] <= result[f"asked_{key}"] for key, _ in asked) if asked else None
    page = shown(budgets(result))
    assert bool(page) == bool(asked)
    for key, name, _ in COSTS:
        assert (f"<td>{name} asked</td>" in page) == ((key, name) in asked)
    for key, _ in asked:
        assert f"{100 * result[key] / result[f'asked_{key}']:.1f}%" in page
    assert ("bar over" in page) == any(result[key] > result[f"asked_{key}"] for key, _ in asked)


def test_a_page_with_answers_is_small_alone_and_read_aloud(answered: Path) -> None:
    text = write_report(answered).read_text()
    page = Page(text)
    page.check_is_alone()
    page.check_reads_aloud()
    assert len(text.encode()) <= MOST_BYTES
    for heading in ("The network", "Class by class", "How it went", "What it took", "To repeat it"):
        assert f'<a href="#{heading.lower().replace(" ", "-")}">{heading}</a>' in text
    pictures = [found for tag, found in page.tags if tag == "img"]
    assert len(pictures) >= 13 and all(str(found["alt"]).startswith("test image ") for found in pictures)
    stored = json.loads((answered / "answers.json").read_text())
    assert sum(map(sum, stored["confusion"])) == stored["test_images"] == sum(stored["class_images"].values())
    for name, percent in stored["class_percent"].items():
        assert (
            f"<td>{name}</td><td class='n'>{stored['class_images'][name]:,}</td><td class='n'>{percent:.1f}</td>"
            in text
        )


def test_damaged_answers_are_refused(answered: Path, tmp_path: Path) -> None:
    shutil.copytree(answered, tmp_path / "r")
    stored = json.loads((answered / "answers.json").read_text())
    sample = stored["samples"]["wrong"][0]
    for changed, words in (
        ({"samples": {"wrong": [{**sample, "picture": "'><script>"}]}}, "picture must be a PNG"),
        ({"samples": {"wrong": [{**sample, "label": 10}]}}, "below 10"),
        ({"confusion": [[1]]}, "different numbers of classes"),
        ({"class_percent": {"0": 101.0}}, "class_percent"),
    ):
        write_json(tmp_path / "r" / "answers.json", {**stored, **changed})
        with pytest.raises(ValueError, match=words):
            report_html(tmp_path / "r")


def test_the_charts_stand_alone_beside_the_page(answered: Path) -> None:
    write_report(answered)
    folder = answered / "figures"
    charts = charts_of((answered / "report.html").read_text())
    assert {path.stem for path in folder.glob("*.svg")} == set(charts) and len(charts) >= 7
    for name, text in charts.items():
        tree = ElementTree.fromstring(text)
        assert tree.tag.endswith("svg") and tree.attrib["aria-label"], name
        assert "var(" not in text and "http" not in text.replace("http://www.w3.org/2000/svg", "")
    for name, heading in (("layers", "latency_ms"), ("classes", "top1_percent"), ("epochs", "weight_loss")):
        rows = list(csv.DictReader((folder / f"{name}.csv").read_text().splitlines()))
        assert rows and heading in rows[0], name
    arch = Arch.load(answered / "arch.json")
    layers = list(csv.DictReader((folder / "layers.csv").read_text().splitlines()))
    assert sum(int(row["params"]) for row in layers) == arch.params
    assert sum(int(row["macs"]) for row in layers) == arch.macs
    estimate = LatencyTable.load(answered / "table.json").estimate_ms(arch)
    assert sum(float(row["latency_ms"]) for row in layers) == pytest.approx(estimate)


def test_the_charts_as_pictures(answered: Path) -> None:
    """Each twice as large as it is drawn, in the colours of its style, legend included."""
    folder = answered / "figures"
    write_report(answered)
    assert not list(folder.glob("*.png"))
    write_report(answered, png=True)
    pictures = {path.stem: path for path in folder.glob("*.png")}
    assert set(pictures) == {path.stem for path in folder.glob("*.svg")} and len(pictures) >= 7
    for name, path in pictures.items():
        root = ElementTree.fromstring((folder / f"{name}.svg").read_text())
        with Image.open(path) as picture:
            colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20) or []}
            assert picture.size == tuple(2 * int(root.attrib[side]) for side in ("width", "height")), name
        assert (255, 255, 255) in colours and len(colours) > 10, name
    chart = charts_of(write_report(answered).read_text())["measured-against-estimated-ms-the-band-is-10"]
    assert ">held out</text>" in chart and ">used to calibrate</text>" in chart


def test_only_what_we_draw_becomes_a_picture() -> None:
    with pytest.raises(ValueError, match="holds <ellipse>, which cannot be drawn"):
        as_png('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><ellipse rx="1" ry="2"/></svg>')


def test_spreadsheets_get_texts_and_no_formulas() -> None:
    assert as_csv([["a,b", None, "=1+1", -1.5, 'say "x"']]) == '"a,b",,\'=1+1,-1.5,"say ""x"""\n'


@pytest.mark.parametrize("seed", range(3))
def test_the_drawing_has_a_box_a_layer_and_all_of_the_cost(seed: int) -> None:
    space: SearchSpace = fbnet(resolution=32, num_classes=10, in_channels=3, width=0.25, head_channels=64)
    rng = np.random.default_rng(seed)
    arch = space.decode(tuple(int(rng.integers(len(v.choices))) for v in space.variables))
    drawn = Drawn.of("x", arch, None)
    assert drawn.unit == "MACs" and sum(drawn.prices) == arch.macs
    assert sum(drawn.shares) == pytest.approx(1) and len(drawn.shares) == len(arch.stages)


def test_the_drawing_stands_beside_the_nearest_network(run: Path, tmp_path: Path) -> None:
    result = {"handed_over": None, "space": "fbnet"}
    arch = Arch.load(run / "arch.json")
    near = nearest(run, "fbnet", arch)
    assert near is not None and near[0].startswith("fbnet") and 0.5 < near[1].macs / arch.macs < 2
    page = shown(stages(run, result, None))
    assert page.count("<figure>") == 2 and near[0].replace("_", "") in page.replace("_", "")
    boxes = page.count('class="box') + page.count('class="left-out')
    assert boxes == len(arch.layers) + len(near[1].layers)
    assert nearest(run, "a space of one's own", arch) is None
    shutil.copy(run / "arch.json", tmp_path / "arch.json")
    write_json(tmp_path / "references.json", {"references": [{"name": "near", "multiplier": 0.5, "arch": {}}]})
    with pytest.raises(ValueError, match="not an arch"):
        stages(tmp_path, result, None)


@pytest.mark.parametrize("size", [16, 224, (40, 1024)])
def test_the_words_of_a_stage_end_before_its_boxes(size: Any, tmp_path: Path) -> None:
    """In DejaVu Sans, which is wide."""
    arch = fitted(published("mobilenetv2_100"), canonical(size), 10, 3)
    (tmp_path / "arch.json").write_text(arch.to_json())
    page = shown(stages(tmp_path, {"handed_over": None, "space": None}, None))
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 12)
    words = [font.getlength(said) for said in re.findall(r"[^>]+ px, \d+ ch", page)]
    places = re.findall(r'class="(?:box[^"]*|left-out)" x="([\d.]+)" y="[-\d.]+" width="([\d.]+)', page)
    assert len(words) == len(arch.stages) and len(places) == len(arch.layers)
    assert max(words) + 5 < min(float(x) for x, _ in places)
    assert max(float(x) + float(width) for x, width in places) < SHARES[0] - 5


def test_phases_add_up_to_the_clock(tmp_path: Path) -> None:
    result = {"contest": {"train_seconds": 4.0}, "pretrain_seconds": None, "search_seconds": 10.0, "train_seconds": 5.0}
    progress = {"host": "h", "pid": 1, "began": 100.0, "updated": 139.0, "cores": 1, "cores_busy": 1.0}
    write_json(tmp_path / "progress.json", {**progress, "ended": "finished", "phases": []})
    page = shown(costs(tmp_path, result, 1))
    assert re.findall(r"<td class='n'>(?:<b>)?([\d.]+ s)", page) == ["10 s", "4.0 s", "5.0 s", "20 s", "39 s"]
    assert "pretraining" not in page and ">26%<" in page
    later = shown(costs(tmp_path, result, 2))
    assert "2 pieces" in later and "19 s" in later and "the rest" not in later
    assert costs(tmp_path, {**dict.fromkeys(result)}, 1) is None


@pytest.mark.parametrize(("most", "is_cut"), [(3.0, False), (4.0, False), (40.0, True)])
def test_a_bar_that_is_cut_says_so(most: float, is_cut: bool) -> None:
    known = {"asked_latency_ms": 1.0, "estimated_latency_ms": 0.9, "measured_latency_ms": 0.8, "not_measured": None}
    section = latency({**known, "reachable_latency_ms": [0.5, most]})
    assert section is not None and section.is_cut == is_cut


@pytest.mark.parametrize("weights", ["from scratch", "inherited from the supernet"])
def test_what_references_do_not_share_with_the_found_network_is_said(weights: str) -> None:
    row = {"name": "plain", "multiplier": 0.5, "macs": 9, "estimated_latency_ms": 1.0, "measured_latency_ms": 1.0}
    row |= {"top1_percent": 90.0, "difference_points": 1.0, "ahead": False}
    result = {
        "references": [row],
        "references_left_out": None,
        "handed_over": None,
        "found": None,
        "top1_percent": 91.0,
    }
    page = shown(references({**result, "weights": weights}))
    alike = weights == "from scratch"
    assert ("trained as the found network was" in page, "has had more training than they" in page) == (alike, not alike)


@pytest.mark.parametrize(
    ("asked", "words"), [(None, "within the same budgets"), (1.2, "at no more latency than was asked")]
)
def test_a_reference_that_is_ahead_claims_what_was_held_equal(asked: float | None, words: str) -> None:
    row = {"name": "plain", "multiplier": 0.5, "macs": 9, "estimated_latency_ms": None, "measured_latency_ms": None}
    row |= {"top1_percent": 92.0, "difference_points": -0.66816, "ahead": True}
    times = dict.fromkeys(("estimated_latency_ms", "measured_latency_ms"))
    page = shown(ahead({**times, "references": [row], "handed_over": None, "asked_latency_ms": asked}))
    assert f"0.67 points more than the found network,\n{words}" in page
