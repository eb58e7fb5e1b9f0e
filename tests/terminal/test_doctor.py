"""The doctor looks for what the exporters and executors import, and says of what is missing how to get it."""

from __future__ import annotations

import tarfile
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from nas.doctor import around, installed
from nas.doctor.__main__ import main
from nas.doctor.installed import OPTIONAL, REQUIRED, packages
from nas.doctor.installed import runtimes as looked_at
from nas.doctor.machine import machine
from nas.export.formats import NAMES, format_named
from nas.latency.device import Device
from nas.latency.devices.local import LocalDevice
from nas.latency.runtimes import NAMES as RUNTIMES
from nas.latency.runtimes import runtime_named
from nas.latency.tables.table import LatencyTable, Row, entries
from search_spaces.families.fbnet import fbnet


def test_optional_packages_are_those_that_are_used() -> None:
    exported = {format_named(name).package for name in NAMES if name != "onnx"}
    timed = {package.module for name in RUNTIMES for package in runtime_named(name).needed("int8")}
    assert set(OPTIONAL) - {"ray", "pyarrow"} == (exported | timed) - set(REQUIRED)


def test_the_processor_and_a_limit_on_threads_are_told_apart(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert next(note for what, _, _, note in machine() if what == "processor").endswith("; OMP_NUM_THREADS=3")


def test_packages_are_listed_with_versions_or_their_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {name: rest for name, *rest in packages()}
    assert here["torch"][:2] == ["ok", metadata.version("torch")] and set(here) == {*REQUIRED, *OPTIONAL}
    monkeypatch.setattr(installed, "is_installed", lambda module: False)
    gone = {name: rest for name, *rest in packages()}
    assert gone["torch"] == ["bad", "not installed", "install it: pip install torch, or `make test`"]
    state, _, note = gone["ai_edge_litert"]
    assert state == "no" and note == "optional, device.runtime=litert: pip install ai-edge-litert"


def test_runtimes_are_listed_with_versions_or_what_they_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {name: rest for name, *rest in looked_at()}
    assert list(found) == RUNTIMES
    assert found["onnxruntime"] == ["ok", metadata.version("onnxruntime"), "fp32, int8"]
    monkeypatch.setattr("nas.latency.runtimes.base.Package.fault", lambda self: f"{self.pip} is not installed")
    lacking = {name: rest for name, *rest in looked_at()}
    for name, (state, _, note) in lacking.items():
        if runtime_named(name).needs:
            assert state == "no" and "pip install" in note and not note.startswith("runtime "), name
    assert lacking["torch"][0] == "ok"


def test_tables_are_listed_with_their_device_and_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert around.tables(tmp_path / "none")[0][1:3] == ("no", "0")
    space = fbnet(8, 10, 1, width=0.25, head_channels=32, candidates=("k3_e1", "skip"))
    rows = tuple(Row(layer, shape, 0.01, 0.0, 10, 0.01) for layer, shape in entries(space))
    LatencyTable("fbnet", Device(name="phone"), rows, 0.0, None).save(tmp_path / "good.json")
    (tmp_path / "half.json").write_text('{"format": ')
    found = {what: rest for what, *rest in around.tables(tmp_path)}
    assert found["fbnet"] == ["ok", "phone-onnxruntime-fp32-b1-t1", f"{len(rows)} rows, not proven"]
    assert found["half.json"][0] == "no" and "damaged" in found["half.json"][2]
    monkeypatch.setattr(around, "LISTED", 1)
    assert around.tables(tmp_path)[1][:3] == ("older ones", "ok", "1")


def test_data_sets_are_listed_as_they_would_be_named(tmp_path: Path) -> None:
    (tmp_path / "FashionMNIST" / "raw").mkdir(parents=True)
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    np.savez(tmp_path / "spectra.npz", x=np.zeros(1))
    (tmp_path / "packed" / "train").mkdir(parents=True)
    tarfile.open(tmp_path / "packed" / "train" / "0.tar", "w").close()
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "dataset_dict.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "cards" / "data").mkdir(parents=True)
    (tmp_path / "cards" / "data" / "stripes.yaml").write_text("")
    named = {note for _, state, _, note in around.data_sets(tmp_path, [tmp_path / "cards"]) if state == "ok"}
    assert named == {
        "data=digits",
        "data=stripes",
        f"data=fashion_mnist data.root={tmp_path}",
        f"data=imagefolder data.root={tmp_path / 'pets'}",
        f"data=imagefolder data.root={tmp_path / 'cards'}",
        f"data=npz data.root={tmp_path / 'spectra.npz'}",
        f"data=shards data.root={tmp_path / 'packed'}",
        f"data=huggingface data.root={tmp_path / 'saved'}",
    }


def test_own_cards_of_devices_are_named(tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / "board.yaml").write_text("")
    assert [what for what, *_ in around.kinds_of_devices([tmp_path])] == [
        *("device=local", "device=ssh", "device=table", "device=board")
    ]


def test_what_needs_no_import_is_looked_up_in_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In processor time, of which other programs take none."""
    monkeypatch.chdir(tmp_path)
    main(["imports=false"])
    capsys.readouterr()
    began = time.process_time()
    main(["imports=false"])
    took = time.process_time() - began
    text = capsys.readouterr().out
    for title in ("this machine", "packages", "runtimes", "devices", "latency tables", "data (data_root="):
        assert f"{title}" in text
    assert "tried" not in text and "everything needed is there" in text
    assert took < 0.6, f"{took:.2f} s"


def test_the_device_that_is_asked_for_is_looked_at() -> None:
    ((what, state, figure, _),) = around.device(LocalDevice(runtime="torch"))
    assert (what, state, figure) == ("device", "ok", "local-torch-fp32-b1-t1")
