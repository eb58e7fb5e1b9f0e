"""Exported files compute what torch computes, for any batch, and say so; what cannot be exported is said precisely."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import shutil
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.data.card import DataSource
from nas.data.digits import digits
from nas.export import exporting, formats
from nas.export.__main__ import main
from nas.export.comparing import Comparison
from nas.export.exporting import default_output, export, summary
from nas.export.formats import onnx
from nas.export.formats.base import Format
from nas.export.run import ExportSetup
from nas.latency.device import Device
from nas.latency.devices import device_of
from nas.latency.measuring.measure import Repeats
from nas.latency.placement import Placement
from nas.networks import model_folder
from nas.networks.creation import create_model, resolve
from nas.networks.model_card import About
from nas.networks.weights import digest_of
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, Skip
from search_spaces.families.rexnet.published import rexnet


def small(channels: int = 1, resolution: int = 16) -> torch.nn.Module:
    blocks = (InvertedResidual(16, 3, 2, 3.0, groups=2), InvertedResidual(16, 5, 1, 3.0), Skip(16))
    return create_model(Arch(resolution, ((ConvBNAct(8, 3, 1),), blocks, (ConvBNAct(32), Classifier(10))), channels))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Format]:
    """A small network, and ONNX's format with its file written already: for what is said of files, whatever is in them.

    Writing one takes a second.
    """
    network, path = small(), tmp_path_factory.mktemp("written") / "net.onnx"
    onnx.write(network.eval(), (1, 16, 16), 1, path)

    def write(given: torch.nn.Module, input_shape: tuple[int, int, int], batch_size: int, target: Path) -> None:
        assert given is network
        shutil.copy(path, target)

    return network, dataclasses.replace(onnx.FORMAT, write=write)


def short_rexnet() -> Arch:
    """ReXNet's stem, first three stages and head."""
    whole = rexnet(0.5, resolution=32, num_classes=10)
    return Arch(32, (*whole.stages[:4], whole.stages[-1]))


def test_onnx_of_a_rexnet_with_partial_residuals_exports_without_warnings(tmp_path: Path, capfd) -> None:
    net = create_model(short_rexnet())
    assert any(getattr(m, "widens", False) and m.has_residual for m in net.modules())
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = export(net, tmp_path / "net.onnx")
    shown = capfd.readouterr()
    assert "warn" not in (shown.out + shown.err).lower()
    assert report["batch"] == "dynamic" and report["bytes"] == (tmp_path / "net.onnx").stat().st_size
    assert report["random"]["images"] == 8
    assert report["random"]["max_difference"] <= 1e-5 * max(report["random"]["largest_logit"], 1.0)
    assert report["real"] is None and report["latency"] is None
    assert net.training  # left as it was


def test_report_on_real_images_and_latency(tmp_path: Path) -> None:
    net, data = small(), digits()
    report = export(net, tmp_path / "net.onnx", comparison=Comparison(data), device=Device())
    assert report["real"]["images"] == 256 and report["real"]["same_top1_percent"] == 100.0
    rows = torch.linspace(0, len(data.test) - 1, 256).long()
    images, labels = next(data.test.subset(rows).in_order(256))
    with torch.no_grad():
        top1 = float((net.eval()(images).argmax(1) == labels).float().mean() * 100)
    assert report["real"]["top1_percent"] == pytest.approx(top1)
    assert 0 < report["latency"]["median_ms"] < 1000
    words = summary(report)
    assert "for any batch size" in words[0] and "compared with torch on 256 test images" in words[2]
    assert re.match(
        r"latency measured: [\d.]+ ms \+- [\d.e-]+ \(local-onnxruntime-fp32-b1-t1\)(; measured now: .*)?$", words[3]
    )
    assert json.loads(json.dumps(report)) == report


def test_times_of_this_machine_are_not_filed_under_another_name(written: tuple[Any, Format], tmp_path: Path) -> None:
    network, format = written
    report = export(network, tmp_path / "net.onnx", format, device=Device("pixel3"))
    assert report["latency"] is None and "device pixel3 is not this machine" in report["not_measured"]
    assert summary(report)[-1].startswith("latency not measured: device pixel3 is not this machine")


@pytest.mark.parametrize(
    ("sets", "key"),
    [pytest.param(True, "local-mine-fp32-b1-t2", marks=pytest.mark.slow), (False, "local-mine-fp32-b1")],
)
def test_threads_that_a_runtime_does_not_obey_are_not_claimed(
    sets: bool, key: str, written: tuple[Any, Format], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A format of one's own is given the threads; its times are filed with them only where it takes them."""
    given, (network, format) = [], written
    monkeypatch.setattr(exporting, "Repeats", partial(Repeats, rounds=2, visit_ms=2.0))

    def load(path: Path, threads: int):
        given.append(threads)
        return onnx.FORMAT.load(path, threads)

    mine = Format("mine", ".onnx", "onnx", "", format.write, load, sets_threads=sets)
    report = export(network, tmp_path / "net.onnx", mine, device=Device(threads=2))
    assert given == [2] and report["latency"]["device"] == key and report["latency"]["threads"] == (2 if sets else None)
    assert ("in as many threads as its runtime takes" in " ".join(summary(report))) is not sets


def test_a_file_that_computes_otherwise_is_not_kept(written: tuple[Any, Format], tmp_path: Path) -> None:
    network, format = written
    wrong = dataclasses.replace(
        format, load=lambda path, threads: lambda images: np.zeros((len(images), 10), np.float32)
    )
    with pytest.raises(ValueError, match="differs from torch on random images"):
        export(network.train(), tmp_path / "net.onnx", wrong)
    assert list(tmp_path.iterdir()) == [] and network.training


def test_no_file_stands_beside_the_report_of_another(written: tuple[Any, Format], tmp_path: Path) -> None:
    """An export that is killed before it wrote its report leaves none, and one that fails both of the file before."""
    network, format = written
    file, report = tmp_path / "net.onnx", tmp_path / "net.onnx.json"
    file.write_text("before")
    report.write_text("{}")
    with pytest.raises(ValueError, match="differs from torch"):
        wrong = dataclasses.replace(format, load=lambda *_: lambda images: np.zeros((len(images), 10), np.float32))
        export(network, file, wrong)
    assert file.read_text() == "before" and report.exists()
    export(network, file, format)
    assert list(tmp_path.iterdir()) == [file]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="unknown format 'coreml'; one of executorch, litert, onnx, python, torch_export"
    ):
        export(small(), tmp_path / "x", "coreml")
    with pytest.raises(ValueError, match="10 classes and 1x16px images, the network takes 10 classes and 3x16px"):
        export(small(3), tmp_path / "x.onnx", comparison=Comparison(digits()))
    with pytest.raises(ValueError, match="the exported file is fp32"):
        export(small(), tmp_path / "x.onnx", device=Device(dtype="int8"))


@pytest.mark.parametrize(
    ("device", "format", "message"),
    [
        (Device(runtime="torch"), "onnx", "not under device.runtime=torch; leave that out"),
        (Device(runtime="torch", dtype="bf16"), "onnx", "the exported file is fp32, and device.dtype=bf16 asks for"),
        (Device(batch_size=3), "executorch", "batches of batch_size=2 alone.* give batch_size=3"),
        (Device(processor="cuda"), "python", "python is timed on the CPU, not on device.processor=cuda"),
    ],
)
def test_a_device_that_is_not_for_the_file_is_refused(device: Device, format: str, message: str) -> None:
    """Where batches are fixed, the time was that of another batch; of `cuda`, that of the CPU."""
    with pytest.raises(ValueError, match=message):
        exporting.timed_for(device, formats.format_named(format), 2)


def test_a_file_of_another_dtype_than_a_device_elsewhere_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    exporting.check_dtype(device_of(Device(name="phone", dtype="bf16")), formats.format_named("onnx"))
    assert "the file is fp32, not the device's bf16: its own tools have to convert it" in capsys.readouterr().out


def test_formats_that_are_not_installed_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name, fix in (("executorch", "pip install executorch"), ("litert", "torch < 2.15"), ("onnx", "onnxscript")):
        with pytest.raises(ValueError, match=fix):
            export(small(), tmp_path / "x", name)


@pytest.mark.filterwarnings("default")  # these packages warn of their own insides
@pytest.mark.parametrize("name", ["executorch", "litert"])
def test_optional_formats(name: str, tmp_path: Path) -> None:
    chosen = formats.format_named(name)
    if not chosen.installed:
        pytest.skip(f"{name} is not installed")
    report = export(small(), tmp_path / f"net{chosen.suffix}", name, comparison=Comparison(digits()), batch_size=2)
    assert report["batch"] == 2 and report["real"]["same_top1_percent"] == 100.0


def test_where_files_go(tmp_path: Path) -> None:
    (tmp_path / "arch.json").write_text("{}")
    assert default_output(str(tmp_path), ".onnx") == tmp_path / "model.onnx"
    assert default_output(str(tmp_path / "arch.json"), ".onnx") == tmp_path / "arch.onnx"
    assert default_output("fbnetc_100", ".onnx") == Path("fbnetc_100.onnx")
    arch = short_rexnet()
    assert default_output(arch.to_json(), ".onnx") == Path(f"{arch.id}.onnx")  # no file may be called by all its text
    for given, name in ((tmp_path, "model"), (tmp_path / "arch.json", "arch"), ("fbnetc_100", "fbnetc_100")):
        one = ExportSetup(str(given), resolve("fbnetc_100"), None, onnx.FORMAT, None, DataSource({}), None, 8, 1e-4, 0)
        fixed = dataclasses.replace(one, format=formats.format_named("litert"))
        setups = (one, dataclasses.replace(one, in_eight_bits=True), fixed, dataclasses.replace(fixed, batch_size=1))
        ends = (".onnx", "-int8.onnx", "-b8.tflite", ".tflite")  # none replaces another
        assert [setup.path.name for setup in setups] == [name + end for end in ends]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = model_folder.write(tmp_path / "net", small(), About(data=digits()))
    (folder / "model.onnx").touch()
    main([f"arch={folder}", "data=digits", "measure=false"])
    report = json.loads((folder / "model.onnx.json").read_text())
    assert report["sha256"] == digest_of(folder / "model.onnx")
    assert report["real"]["images"] == 256 and (folder / "model.onnx").exists()
    said = capsys.readouterr().out
    assert "256 test images" in said and "model.onnx in place of the one that was there, and this report" in said
    for arguments, message in (
        (["arch=fbnetc_100"], "no weights for fbnetc_100: give checkpoint="),
        ([f"arch={folder}", "output=x.bin"], "ends in .onnx"),
        ([f"arch={folder}", "format=tflite"], "unknown format 'tflite'"),
        ([f"arch={folder}", "device.runtime=torch"], "not under device.runtime=torch"),
        ([f"arch={folder}", "device.runtime=torch", "device.dtype=bf16", "measure=false"], "the exported file is fp32"),
        ([], "arch"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_operators_that_a_file_leaves_to_other_kernels_are_reported(
    written: tuple[Any, Format], tmp_path: Path
) -> None:
    told, (network, format) = Placement(1, 9, {"MEAN outside XNNPACK": 2}), written
    falls_back = dataclasses.replace(format, name="mine", placement=lambda path: told)
    report = export(network, tmp_path / "m.onnx", falls_back)
    assert Placement.from_dict(report["fell_back"]) == told
    assert "2 of 9 operators in the network ran otherwise than asked: 2 MEAN outside XNNPACK" in summary(report)
    assert export(network, tmp_path / "n.onnx", format)["fell_back"] is None
