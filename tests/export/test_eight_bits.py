"""Files in eight bits: calibrated on training images, judged by what they lose, the same under ONNX Runtime alone."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from nas.data import ImageData
from nas.data.digits import digits
from nas.export import exporting
from nas.export.__main__ import main
from nas.export.comparing import Comparison
from nas.export.eight_bits import Calibration, eight_bits
from nas.export.exporting import export, summary
from nas.export.formats import format_named
from nas.latency.device import Device
from nas.latency.measuring.network_time import FILE, NetworkTime
from nas.networks import model_folder
from nas.networks.model_card import About
from nas.train.training import build_network, train
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual
from search_spaces.blocks.squeeze_excite import SqueezeExcite
from search_spaces.recipe import Recipe

RECIPE = Recipe(epochs=4, batch_size=32, lr=0.01, optimizer="adamw", zero_init_residual=True)
ALONE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("nas", "search_spaces", "torch", "timm", "onnx"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import hashlib, numpy, onnxruntime
session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
images = numpy.load("images.npy")
answers = numpy.concatenate([session.run(None, {"input": part})[0].argmax(1) for part in numpy.array_split(images, 7)])
print(hashlib.sha256(answers.astype("<i8").tobytes()).hexdigest(), (answers == numpy.load("labels.npy")).mean())
"""


@pytest.fixture(scope="module")
def data() -> ImageData:
    return digits(8)


@pytest.fixture(scope="module")
def folder(data: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of a network with shortcuts and squeeze-and-excitation that has learned digits."""
    blocks = (InvertedResidual(16, 3, 2, 2.0, se=SqueezeExcite()), InvertedResidual(16, 3, 1, 2.0, act="hard_swish"))
    arch = Arch(8, ((ConvBNAct(16, 3),), blocks, (ConvBNAct(32), Classifier(10))), in_channels=1)
    network = build_network(arch, RECIPE)
    assert train(network, data, RECIPE)["top1_percent"] > 80
    return model_folder.write(tmp_path_factory.mktemp("eight") / "net", network, About(data=data))


def saturates() -> bool:
    """Whether sums of products of eight bits overflow here: on x86 without VNNI they are held in 16 bits."""
    known = Path("/proc/cpuinfo")
    return platform.machine() in ("x86_64", "AMD64") and known.exists() and "vnni" not in known.read_text()


@pytest.fixture(scope="module")
def exported(folder: Path, data: ImageData) -> tuple[Path, dict[str, Any]]:
    path = folder.parent / "net.onnx"
    main(
        [
            f"arch={folder}",
            "data=digits",
            "data.resolution=8",
            "device.dtype=int8",
            "measure=false",
            f"output={path}",
            "largest_drop=100",
        ]
    )
    return path, json.loads(path.with_name("net.onnx.json").read_text())


def test_the_file_answers_under_onnx_runtime_alone_as_the_receipt_says(
    exported: tuple[Path, dict[str, Any]], data: ImageData
) -> None:
    path, report = exported
    real = report["real"]
    assert report["dtype"] == "int8" and report["bytes"] == path.stat().st_size
    images = torch.cat([images for images, _ in data.test.in_order(100)])
    np.save(path.with_name("images.npy"), images.numpy())
    np.save(path.with_name("labels.npy"), data.test.labels.numpy())
    done = subprocess.run([sys.executable, "-c", ALONE], cwd=path.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    digest, right = done.stdout.split()
    assert digest == real["answers_sha256"] and 100 * float(right) == pytest.approx(real["top1_percent"])
    assert real["images"] == len(data.test) and real["drop_points"] < (30 if saturates() else 3)
    assert real["float_top1_percent"] - real["top1_percent"] == pytest.approx(real["drop_points"])
    assert report["calibrated"]["images"] == 512 and report["calibrated"]["quantiser"].startswith("onnxruntime ")
    assert "a loss of" in summary(report)[1] and "calibrated on 512 training images" in summary(report)[1]


def test_it_computes_in_eight_bits_and_says_what_does_not(exported: tuple[Path, dict[str, Any]], folder: Path) -> None:
    path, report = exported
    model = onnx.load(path)
    made_by = {name: node for node in model.graph.node for name in node.output}
    types = {constant.name: constant.data_type for constant in model.graph.initializer}
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convs) == 10  # stem, two blocks of three, squeeze-and-excitation's two, head
    for node in convs:
        assert types[made_by[node.input[1]].input[0]] == onnx.TensorProto.INT8
        assert made_by[node.input[0]].op_type == "DequantizeLinear"
    assert report["fell_back"]["operators"] > 10 and not any(
        "Conv" in name for name in report["fell_back"]["elsewhere"]
    )
    said = {each.key: json.loads(each.value) for each in model.metadata_props}
    assert said["label_names"] == [str(digit) for digit in range(10)]


def test_ranges_come_from_training_images(folder: Path, data: ImageData) -> None:
    taken = Calibration(data, 100)
    rows = [images for images in taken.batches()]
    assert [len(images) for images in rows] == [32, 32, 32, 4] and taken.record()["images"] == 100
    known = {images.tobytes() for batch, _ in data.train.in_order(1) for images in [batch.numpy()[0]]}
    assert {image.tobytes() for batch in rows for image in batch} <= known
    other = np.concatenate(list(dataclasses.replace(taken, seed=1).batches()))
    assert not np.array_equal(np.concatenate(rows), other)
    assert Calibration(data, 10**6).count == len(data.train)


@pytest.mark.slow
def test_a_file_that_loses_too_much_is_not_kept(folder: Path, data: ImageData, tmp_path: Path) -> None:
    """One that always says 0; and the loss and its error by hand."""
    from nas.networks.creation import create_model

    network = create_model(folder)
    made = eight_bits(format_named("onnx"), Calibration(data, 8, "mean_min_max"))

    def load(path: Path, threads: int):
        return lambda images: np.eye(10, dtype=np.float32)[np.zeros(len(images), int)]

    wrong = dataclasses.replace(made, load=load)
    with pytest.raises(ValueError, match=r"a loss of \d+\.\d+ points, allowed 5; .* nothing was written"):
        export(network, tmp_path / "net.onnx", wrong, comparison=Comparison(data))
    assert list(tmp_path.iterdir()) == []
    report = export(network, tmp_path / "net.onnx", wrong, comparison=Comparison(data, largest_drop=100.0))["real"]
    labels, network = data.test.labels.numpy(), network.eval()
    with torch.inference_mode():
        right = np.concatenate([network(x).argmax(1).numpy() for x, _ in data.test.in_order(64)]) == labels
    lost = 100 * (right.astype(float) - (labels == 0))
    assert report["drop_points"] == pytest.approx(lost.mean())
    assert report["drop_error"] == pytest.approx(lost.std(ddof=1) / len(lost) ** 0.5)
    assert report["answers_sha256"] == hashlib.sha256(np.zeros(len(labels), "<i8").tobytes()).hexdigest()


@pytest.mark.slow
def test_the_time_is_that_of_the_file_beside_its_floats(
    folder: Path, data: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.networks.creation import create_model

    seen: dict[str, bytes] = {}

    def measure(paths: dict[str, Path], shape: Any, arch: Arch, device: Device) -> dict[str, NetworkTime]:
        seen.update({name: path.read_bytes() for name, path in paths.items()})
        assert device.dtype == "int8" and tuple(shape) == (1, 1, 8, 8)
        return {name: NetworkTime(2.0 if name == FILE else 3.0, 2.0, 0.1) for name in paths}

    monkeypatch.setattr(exporting, "measure_files", measure)
    made = eight_bits(format_named("onnx"), Calibration(data, 8))
    report = export(
        create_model(folder), tmp_path / "net.onnx", made, comparison=Comparison(data), device=Device(dtype="int8")
    )
    assert seen[FILE] == (tmp_path / "net.onnx").read_bytes()
    kinds = [{node.op_type for node in onnx.load_from_string(seen[name]).graph.node} for name in (FILE, "floats")]
    assert "QuantizeLinear" in kinds[0] and "QuantizeLinear" not in kinds[1]
    assert report["latency"]["median_ms"] == 2.0 and report["latency"]["float_ms"] == 3.0
    assert report["latency"]["device"] == "local-onnxruntime-int8-b1-t1"
    assert "in floats 3 ms" in summary(report)[-1]


def test_what_cannot_be_written_in_eight_bits_says_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    eight = [f"arch={folder}", "device.dtype=int8", "measure=false"]
    for more, message in (
        ([], "calibrated on training images and judged by test images: give data="),
        (["format=python", "data=digits"], "format=python writes floats: files in eight bits are ONNX's"),
        (
            ["data=digits", "data.resolution=8", "calibration=entropy"],
            "calibration must be one of min_max, mean_min_max, got 'entropy'",
        ),
        (["data=digits", "calibration_images=0"], "calibration_images"),
    ):
        with pytest.raises(SystemExit) as caught:
            main([*eight, *more])
        assert caught.value.code == 2
        assert message in (error := capsys.readouterr().err) and error.count("\n") == 1
