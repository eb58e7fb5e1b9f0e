"""The page of many runs: their front, and what each of them came to."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from nas.derive.handover import write_archs
from nas.latency.device import Device
from nas.latency.tables.table import LatencyTable
from nas.report.__main__ import main as report
from nas.report.across_devices import ranks
from nas.report.charts import count
from nas.report.front_page import write_front
from nas.report.front_rows import collect, run_folders
from nas.runs.run import Run
from search_spaces.families.fbnet import fbnet

from .pages import Page


def test_a_folder_of_runs_gives_their_front(run: Path, tmp_path: Path) -> None:
    figures = [("fbnet", "dnas", 1.0, 90.0), ("fbnet", "dnas", 2.0, 89.0), ("fbnet", "random", 1.5, None)]
    for i, (space, method, ms, top1) in enumerate(figures):
        folder = tmp_path / "sweep" / str(i)
        folder.mkdir(parents=True)
        record = json.loads((run / "result.json").read_text())
        record |= {"space": space, "method": method, "measured_latency_ms": ms, "top1_percent": top1}
        (folder / "result.json").write_text(json.dumps(record))
    report([f"run={tmp_path / 'sweep'}", "png=true"])
    (drawn,) = (tmp_path / "sweep").glob("front-*.svg")
    assert record["data"] in drawn.name and drawn.read_text().count('<circle class="dot s0') == 3  # and the legend's
    assert drawn.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    page = Page((tmp_path / "sweep" / "front.html").read_text())
    assert page.text.count("dnas") >= 3 and "random" in page.text  # the legend, and one row for each run
    assert page.text.index("1.5") < page.text.index("89")
    assert count(record["params"]) in page.text and "e+0" not in page.text
    with pytest.raises(ValueError, match="holds no finished run"):
        write_front(tmp_path / "nothing")


def test_a_front_holds_runs_that_links_lead_to_each_once(run: Path, tmp_path: Path) -> None:
    first, elsewhere = tmp_path / "runs" / "first", tmp_path / "disk" / "second"
    for folder in (first, elsewhere):
        shutil.copytree(run, folder)
    links: dict[str, Path | str] = {
        "best": first,
        "linked": elsewhere,
        "linked again": elsewhere,
        "loop": tmp_path / "runs",
    }
    links |= {"lost": tmp_path / "no", "itself": "itself", "too long": "name" * 100}  # the last may not be looked at
    for name, there in links.items():
        (tmp_path / "runs" / name).symlink_to(there)
    assert run_folders(tmp_path / "runs") == [first, tmp_path / "runs" / "linked"]
    shutil.copytree(run, tmp_path / "runs" / "locked")
    (tmp_path / "runs" / "locked" / "config.yaml").unlink()
    (tmp_path / "runs" / "locked" / "config.yaml").mkdir()
    rows, others = collect(tmp_path / "runs")
    assert {row["folder"] for row in rows} == {"first", "linked"}
    ((name, why),) = others
    assert name == "locked" and why.endswith("cannot be used: is a directory")


def test_a_look_for_runs_asks_the_disk_of_no_single_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are thousands in a folder of images, and every one takes its time on a disk of the network."""
    for name in ("run/config.yaml", "run/images/first.png", "run/images/second.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    looked: list[str] = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **how: (looked.append(str(path)), stat(path, **how))[1])
    assert run_folders(tmp_path) == [tmp_path / "run"]
    assert not [path for path in looked if path.endswith(".png")]


def test_data_of_one_name_that_may_be_other_images_are_marked(run: Path, tmp_path: Path) -> None:
    """Two folders called `pictures`, or a part of the test images: their accuracies are no front."""
    record = json.loads((run / "result.json").read_text())
    data = {"_target_": "nas.data.folder.imagefolder", "root": "a/pictures", "test_limit": None, "workers": 4}
    for name, other in {"one": {}, "two": {"workers": 2, "resolution": 32}, "three": {"test_limit": 100}}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps({**record, "weights_kib": 14002.26}))
        (tmp_path / name / "config.yaml").write_text(json.dumps({"data": {**data, **other}}))
        said = Page(write_front(tmp_path).read_text()).text
        assert ("NOTE" in said) is (name == "three") and "14,002" in said
    assert "NOTE: data.test_limit is 100 or null: where that makes other test images" in said


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
    assert "near guessing" not in text
    (tmp_path / "old" / "result.json").write_text(json.dumps(record | {"top1_percent": 12.0, "guessing_percent": 10.0}))
    assert "12.00 (near guessing)" in Page(write_front(tmp_path).read_text()).text
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
    for name, files in (("judged", ["metrics.json"]), ("cut", [])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "env.json").write_text('{"command": "python -m nas.evaluate arch=x"}')
        for file in ("config.yaml", *files):
            (tmp_path / name / file).write_text("{}")
    page = Page(write_front(tmp_path).read_text()).text
    assert "an evaluation that was interrupted; make it again" in page and "nas.evaluate resume=" not in page
    assert "still running" in running and "ended after search step 3; continue it with: python -m nas" in page
    assert "timed/derived-2ms/arch-2.json" in page and "1.234" in page
    assert "asked MACs" in page and "4 M" in page and "NO" in page and "over multiply-adds" in page
    assert "odd" in page and "params must be a whole number >= 0, got 'many'" in page


def test_a_front_links_to_reports_and_says_why_a_run_failed(run: Path, tmp_path: Path) -> None:
    record = json.loads((run / "result.json").read_text()) | {"top1_percent": 90.0}
    for name, method, top1 in (("a b", "dnas", 90.0), ("c", "random", 91.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps({**record, "method": method, "top1_percent": top1}))
    (tmp_path / "a b" / "report.html").write_text("")
    with pytest.raises(ValueError, match="odd data"), Run.open(str(tmp_path / "failed"), None, "x", {}) as opened:
        opened.log("search", 0, loss=1.0)
        raise ValueError("odd data")
    text = write_front(tmp_path).read_text()
    page = Page(text)
    page.check_is_alone()
    page.check_reads_aloud()
    assert '<a href="a%20b/report.html">a b</a>' in text and text.count("report.html") == 1
    assert "failed: odd data; ended after search step 0; continue it with" in page.text
    marks = dict(re.findall(r'id="(f\d)" checked> ([^<]+)</label>', text))
    assert set(marks.values()) == {"fbnet, dnas", "fbnet, random"}
    for mark in marks:  # a row, a line, a dot and its name go together
        assert f"main:has(#{mark}:not(:checked)) .{mark}:not(input)" in text
        assert len(re.findall(rf"class=['\"][^'\"]*\b{mark}['\"]", text)) == 4
    rows = list(csv.DictReader((tmp_path / "front.csv").read_text().splitlines()))
    assert [(row["run"], row["top1_percent"]) for row in rows] == [("a b", "90.0"), ("c", "91.0")]


def test_spaces_and_methods_keep_their_colour_from_device_to_device(run: Path, tmp_path: Path) -> None:
    """Those that are to be ticked, in that order: a chart that lacks one leaves its colour out."""
    record = json.loads((run / "result.json").read_text())
    found = (("a", "here", "dnas", 1.0), ("b", "here", "random", 0.5), ("c", "there", "random", 2.0))
    for name, device, method, ms in found:
        (tmp_path / name).mkdir()
        own = {"device": device, "method": method, "measured_latency_ms": ms, "top1_percent": 90.0}
        (tmp_path / name / "result.json").write_text(json.dumps({**record, **own}))
    text = write_front(tmp_path).read_text()
    boxes = re.findall(r'<input type="checkbox"[^>]*> ([^<]*)</label>', text)
    legends = [
        re.findall(r'class="key ([\w ]+)">([^<]*)</span>', figure)
        for figure in re.findall(r"<figcaption>.*?</figcaption>", text)
    ]
    hues = {label: f"s{number}" for number, label in enumerate(boxes)}
    assert len(boxes) == 2 and [len(legend) for legend in legends] == [2, 1]
    for legend in legends:
        assert legend == [(hues[label], label) for label in boxes if (hues[label], label) in legend]


def test_networks_of_several_devices_stand_side_by_side(run: Path, tmp_path: Path) -> None:
    """A network that a device did not measure has the estimate of its table, which is ten times that of the other."""
    record = json.loads((run / "result.json").read_text())
    space = fbnet(resolution=32, num_classes=10, in_channels=3, width=0.25, head_channels=64)
    table = LatencyTable.load(run / "table.json")
    slow = dataclasses.replace(
        table, device=Device("phone"), rows_=tuple(dataclasses.replace(r, calibrated_ms=0.125) for r in table.rows_)
    )
    genes = [tuple(k for _ in space.positions) for k in (0, 3)]
    for index, (name, known, gene) in enumerate((("here", table, genes[0]), ("there", slow, genes[1]))):
        (tmp_path / name).mkdir()
        write_archs(tmp_path / name, space, (gene,))
        known.save(tmp_path / name / "table.json")
        own = {"device": known.device.key, "measured_latency_ms": 1.0 + index, "top1_percent": 90.0 - index}
        (tmp_path / name / "result.json").write_text(json.dumps({**record, **own}))
    text = write_front(tmp_path).read_text()
    rows = re.findall(r"<tr>(.*?)</tr>", text.split("Across devices</h2>")[1].split("</table>")[0])[1:]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]
    other = {
        name: known.estimate_ms(space.decode(gene))
        for name, known, gene in (("here", slow, genes[0]), ("there", table, genes[1]))
    }
    assert cells[0][0] == "here" and cells[0][2] == "1" and cells[0][4] == f"{other['here']:.4g} est."
    assert cells[1][0] == "there" and cells[1][4] == "2" and cells[1][2] == f"{other['there']:.4g} est."
    assert "2 networks in common, too few" in text
    assert "tables with other rows or times" not in text
    faster = dataclasses.replace(slow, rows_=tuple(dataclasses.replace(r, calibrated_ms=0.1) for r in slow.rows_))
    shutil.copytree(tmp_path / "there", tmp_path / "twice")  # measured again
    faster.save(tmp_path / "twice" / "table.json")
    said = Page(write_front(tmp_path).read_text()).text
    assert f"of {slow.device.key} there are 2 tables" in said and "there/table.json, twice/table.json" in said
    assert f"{other['here']:.4g} est." in said
    slow_rows = [row for row in slow.rows_ if row.layer.role == "classifier"]  # the first lacks the rows
    dataclasses.replace(slow, rows_=tuple(slow_rows)).save(tmp_path / "there" / "table.json")
    assert f"{faster.estimate_ms(space.decode(genes[0])):.4g} est." in Page(write_front(tmp_path).read_text()).text
    slow.save(tmp_path / "there" / "table.json")
    shutil.rmtree(tmp_path / "twice")
    shutil.copytree(tmp_path / "here", tmp_path / "again")  # the other device measured that network too
    slow.save(tmp_path / "again" / "table.json")
    own = {"device": slow.device.key, "measured_latency_ms": 7.5, "top1_percent": 50.0}
    (tmp_path / "again" / "result.json").write_text(json.dumps({**record, **own}))
    across = Page(write_front(tmp_path).read_text()).text.split("Across devices")[-1]
    assert "7.5" in across and f"{other['here']:.4g} est." not in across
    assert "90.00 (best of 2)" in across and "89.00 (best" not in across
    assert ranks([3.0, None, 1.0, 3.0]) == [2, None, 1, 2]


def test_what_was_derived_for_another_device_stands_under_that(run: Path, tmp_path: Path) -> None:
    """Its times are none of the run's device, nor is its table; files from before it was written are of the run's."""
    record = json.loads((run / "result.json").read_text())
    space = fbnet(resolution=32, num_classes=10, in_channels=3, width=0.25, head_channels=64)
    table = LatencyTable.load(run / "table.json")
    rows = tuple(dataclasses.replace(row, calibrated_ms=0.125) for row in table.rows_)
    phone = dataclasses.replace(table, device=Device("phone"), rows_=rows)
    (tmp_path / "a").mkdir()
    table.save(tmp_path / "a" / "table.json")
    phone.save(tmp_path / "a" / "tables" / "phone.json")
    (tmp_path / "a" / "result.json").write_text(json.dumps({**record, "device": table.device.key}))
    write_archs(tmp_path / "a", space, (tuple(0 for _ in space.positions),))
    genes = {"on": tuple(3 for _ in space.positions), "before": tuple(2 for _ in space.positions)}
    for folder, more in (("on", {"device": phone.device.key}), ("before", {})):
        (tmp_path / "a" / folder).mkdir()
        write_archs(tmp_path / "a" / folder, space, (genes[folder],))
        derived = {"file": "arch.json", "estimated_latency_ms": 2.0, "params": 5, "macs": 7, **more}
        (tmp_path / "a" / folder / "derived.json").write_text(json.dumps([derived]))
    text = write_front(tmp_path).read_text()
    found = {row["run"]: row["device"] for row in csv.DictReader((tmp_path / "front.csv").read_text().splitlines())}
    here, there = table.device.key, phone.device.key
    assert found == {"a": here, "a/before/arch.json": here, "a/on/arch.json": there}
    across = text.split("Across devices</h2>")[1].split("</table>")[0]
    estimate = phone.estimate_ms(space.decode(genes["before"]))
    assert f">{there}, ms</th>" in across and f">{estimate:.4g} est.</td>" in across


def test_other_test_images_and_other_machines_are_kept_apart(run: Path, tmp_path: Path) -> None:
    """Accuracies on other images, and times of other machines, are not compared because they go by one name."""
    record = json.loads((run / "result.json").read_text()) | {"top1_percent": 90.0}
    runs = {"a": (100, "Xeon", "local-x"), "b": (100, "EPYC", "local-x"), "c": (40, "EPYC", "board-x")}
    for name, (images, cpu, device) in runs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps({**record, "device": device}))
        (tmp_path / name / "env.json").write_text(json.dumps({"cpu": cpu}))
        answers = {"test_images": images, "class_images": {"0": images // 2, "1": images // 2}}
        (tmp_path / name / "answers.json").write_text(json.dumps(answers))
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", write_front(tmp_path).read_text())
    assert headings[:3] == [
        "digits (100 test images of 2 classes) on local-x (EPYC)",
        "digits (100 test images of 2 classes) on local-x (Xeon)",
        "digits (40 test images of 2 classes) on board-x",
    ]
    (tmp_path / "c" / "answers.json").unlink()  # it does not say: what is of one name is taken for the same
    shutil.rmtree(tmp_path / "b")
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", write_front(tmp_path).read_text())
    assert headings[:2] == ["digits on board-x", "digits on local-x"]
