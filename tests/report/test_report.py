"""The report page: everything of a run on it, nothing loaded from elsewhere, readable without a finished table."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from nas.derive.handover import write_archs, write_probabilities
from nas.latency.device import Device
from nas.latency.tables.proof import Proof
from nas.latency.tables.table import LatencyTable, Row, entries
from nas.report.__main__ import main as report
from nas.report.charts import count
from nas.report.front_page import write_front
from nas.report.run_page import report_html, write_report
from nas.runs.run import Run
from search_spaces.families.fbnet import fbnet
from search_spaces.families.single_path import single_path

VOID = {"meta"}


class Page(HTMLParser):
    """Checks that tags nest, and collects text and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += attributes

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the FBNet space, all but trained."""
    space = fbnet(resolution=32, num_classes=10, in_channels=3, width=0.25, head_channels=64)
    rng = np.random.default_rng(0)
    genotype = tuple(0 for _ in space.positions)
    probabilities = tuple(rng.dirichlet(np.ones(len(position.candidates))) for position in space.positions)
    rows = tuple(Row(layer, shape, 0.01, 0.0, 10, 0.0125) for layer, shape in entries(space))
    measured = rng.uniform(1, 2, 20)
    estimates = measured * rng.uniform(0.95, 1.05, 20)
    networks = tuple(
        {
            "arch": "a",
            "role": "fit" if i < 8 else "held_out",
            "measured_ms": m,
            "spread_ms": 0.0,
            "raw_ms": e,
            "estimate_ms": e,
        }
        for i, (e, m) in enumerate(zip(estimates.tolist(), measured.tolist(), strict=True))
    )
    proof = Proof.of(estimates, estimates, (measured, measured), measured, 8)
    path = tmp_path_factory.mktemp("runs") / "r"
    config = {"space": {"width": 0.25}, "note": "<script>alert(1)</script>"}
    with Run.open(str(path), None, "fbnet-dnas", config) as opened:
        for epoch in range(5):
            opened.log("search", epoch, weight_loss=2.0 / (epoch + 1), expected_latency_ms=1.5, theta_entropy=2.0)
        opened.log("search", 5, weight_loss=float("nan"))
        write_probabilities(path, space, probabilities)
        write_archs(path, space, (genotype,))
        LatencyTable("fbnet", Device(), rows, 0.0, proof, {}, networks).save(path / "table.json")
        arch = space.decode(genotype)
        record = {"space": "fbnet", "method": "dnas", "data": "digits", "seed": 0, "device": Device().key}
        record |= {"asked_latency_ms": 1.5, "estimated_latency_ms": 1.4, "measured_latency_ms": 1.6}
        record |= {"limit_latency_ms": 1.45, "reachable_latency_ms": [0.5, 3.0], "genotype": list(genotype)}
        record |= {"params": arch.params, "macs": arch.macs, "top1_percent": None, "weights": None}
        opened.write_json("result.json", {**record, "search_seconds": 75.0, "train_seconds": None})
    return path


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


def test_nothing_is_loaded_or_run(run: Path) -> None:
    text = report_html(run)
    names = {name for name, _ in Page(text).attributes}
    assert not names & {"src", "href", "srcset", "data", "action"} and not {n for n in names if n.startswith("on")}
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
    table = report_html(tmp_path).split("<h2>The network</h2>")[1].split("</table>")[0]
    rows = table.split("<tr")[2:]
    assert len(rows) == 1 + 1 + 20 + 1 + 2
    assert [("class=fixed" in row) for row in rows] == [True] * 2 + [False] * 20 + [True] * 3
    assert all(("<svg" in row) != ("class=fixed" in row) for row in rows)


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


def test_a_folder_of_runs_gives_their_front(run: Path, tmp_path: Path) -> None:
    figures = [("fbnet", "dnas", 1.0, 90.0), ("fbnet", "dnas", 2.0, 89.0), ("fbnet", "random", 1.5, None)]
    for i, (space, method, ms, top1) in enumerate(figures):
        folder = tmp_path / "sweep" / str(i)
        folder.mkdir(parents=True)
        record = json.loads((run / "result.json").read_text())
        record |= {"space": space, "method": method, "measured_latency_ms": ms, "top1_percent": top1}
        (folder / "result.json").write_text(json.dumps(record))
    report([f"run={tmp_path / 'sweep'}"])
    page = Page((tmp_path / "sweep" / "front.html").read_text())
    assert page.text.count("dnas") >= 3 and "random" in page.text  # the legend, and one row for each run
    assert page.text.index("1.5") < page.text.index("89")
    assert count(record["params"]) in page.text and "e+0" not in page.text
    with pytest.raises(ValueError, match="holds no finished run"):
        write_front(tmp_path / "nothing")


def test_a_front_shows_memory_and_the_arithmetic_that_it_is_counted_in(run: Path, tmp_path: Path) -> None:
    """Of networks that were derived, too; runs of earlier releases, which do not say, have a dash."""
    record = json.loads((run / "result.json").read_text())
    known = {"memory_kib": 48.0, "weights_kib": 76.9375, "counted": {"dtype": "int8", "in_place": "none"}}
    (tmp_path / "new" / "derived").mkdir(parents=True)
    (tmp_path / "old").mkdir()
    (tmp_path / "new" / "result.json").write_text(json.dumps(record | known | {"asked_memory_kib": 50.0}))
    derived = {**record, "file": "arch.json", "memory_kib": 12.0, "counted": {"dtype": "fp16", "in_place": "none"}}
    (tmp_path / "new" / "derived" / "derived.json").write_text(json.dumps([derived]))
    for name in known:
        record.pop(name, None)
    (tmp_path / "old" / "result.json").write_text(json.dumps(record))
    text = Page(write_front(tmp_path).read_text()).text
    for said in ("memory KiB", "asked memory KiB", "weights KiB", "48 (int8)", "76.94 (int8)", "12 (fp16)", "–"):
        assert said in text
    (tmp_path / "old" / "result.json").write_text(json.dumps(record | {"memory_kib": 3.0, "counted": {"dtype": []}}))
    assert "3" in Page(write_front(tmp_path).read_text()).text


def test_a_front_compares_runs_of_one_data_set_and_device_alone(run: Path, tmp_path: Path) -> None:
    for i, device in enumerate(["phone-onnxruntime-fp32-b1-t1", "local-onnxruntime-fp32-b1-t1"]):
        (tmp_path / str(i)).mkdir()
        record = json.loads((run / "result.json").read_text()) | {"device": device, "top1_percent": 90.0}
        (tmp_path / str(i) / "result.json").write_text(json.dumps(record))
    text = write_front(tmp_path).read_text()
    assert text.count("<svg") == 2 and "digits on phone-onnxruntime-fp32-b1-t1" in Page(text).text


def test_a_front_of_untrained_networks_is_a_table_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "result.json").write_bytes((run / "result.json").read_bytes())
    body = write_front(tmp_path).read_text().split("</style>")[1]
    assert (
        "<figure" not in body and "<svg" not in body and "'panel'></div>" not in body and "no other of it" not in body
    )


def test_a_front_names_every_network_and_every_run_without_a_result(run: Path, tmp_path: Path) -> None:
    record = json.loads((run / "result.json").read_text())
    counted = {**record, "device": None, "top1_percent": 91.0, "asked_macs": 4_000_000, "budget_met": False}
    counted |= {f"{kind}_latency_ms": None for kind in ("asked", "estimated", "measured")}
    for name, content in (("timed", record), ("counted", counted), ("odd", {**record, "params": "many"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps(content))
    derived = {"file": "arch-2.json", "measured_latency_ms": 1.234, "params": 5, "macs": 7, "budget_met": True}
    (tmp_path / "timed" / "derived-2ms").mkdir()
    (tmp_path / "timed" / "derived-2ms" / "derived.json").write_text(json.dumps([derived]))
    with Run.open(str(tmp_path / "killed"), None, "x", {}) as opened:
        opened.log("search", 3, loss=1.0)
        running = Page(write_front(tmp_path).read_text()).text
    page = Page(write_front(tmp_path).read_text()).text
    assert "still running" in running and "ended after search step 3; continue it with: python -m nas" in page
    assert "timed/derived-2ms/arch-2.json" in page and "1.234" in page
    assert "asked MACs" in page and "4 M" in page and "NO" in page and "over multiply-adds" in page
    assert "odd" in page and "params must be a whole number >= 0, got 'many'" in page


def test_the_candidates_of_a_search_and_their_front(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "r")
    scores = [("a", 90.0, 100), ("b", 80.0, 200), ("c", None, 300), ("d", 95.0, 400)]
    trials = [{"candidate": n, "validation_top1_percent": s, "costs": {"macs": m}} for n, s, m in scores]
    (tmp_path / "r" / "trials.json").write_text(json.dumps(trials))
    text = report_html(tmp_path / "r")
    table = text.split("<h2>The candidates</h2>")[1].split("</table>")[0]
    assert "3 candidates were trained, 1 failed" in Page(text).text
    assert [name in table for name in (">a<", ">b<", ">c<", ">d<")] == [True, False, False, True]


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
