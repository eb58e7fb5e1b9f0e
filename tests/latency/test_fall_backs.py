"""Operators that ran otherwise than asked are counted and named."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.kits.of_networks import import_network_times, write_network_kit
from nas.latency.kits.of_space import import_kit, write_kit
from nas.latency.kits.results import read_results
from nas.latency.measuring.journal import seal
from nas.latency.measuring.onnx_graph import OPSET
from nas.latency.measuring.timing import image
from nas.latency.placement import Placement
from nas.latency.runtimes import runtime_named
from nas.latency.runtimes.base import GraphRuntime
from nas.latency.runtimes.onnxruntime import placement_of
from nas.latency.show import show
from nas.latency.tables.fall_backs import fallen_back
from nas.latency.tables.table import LatencyTable
from nas.report.sections.latency import proof
from search_spaces.families.fbnet import fbnet
from tests.search_spaces.every_kind import every_kind

from .devices.kinds import tiny
from .devices.phone import measure_on, phone
from .test_build import SMALL, SPACE
from .test_runtime_contract import installed

SHAPE = (1, 4, 6, 6)
LEAST = Effort(fit_networks=2, held_out_networks=2, rounds=2, network_rounds=2, visit_ms=0.1, network_visit_ms=0.1)


def graph(*kinds: str, opset: int = OPSET) -> bytes:
    """A convolution, then operators of `kinds` with one input."""
    weight = numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), "weight")
    options = {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    nodes = [helper.make_node("Conv", ["input", "weight"], ["t0"], **options)]
    nodes += [helper.make_node(kind, [f"t{i}"], [f"t{i + 1}"]) for i, kind in enumerate(kinds)]
    nodes.append(helper.make_node("Identity", [nodes[-1].output[0]], ["output"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("input", "output")]
    made = helper.make_graph(nodes, "network", ends[:1], ends[1:], [weight])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10).SerializeToString()


def test_placements_add_and_read_back() -> None:
    one, two = Placement(1, 5, {"a": 2}), Placement(1, 7, {"a": 1, "b": 1})
    both = one + two
    assert both == Placement(2, 12, {"a": 3, "b": 1}) and both.fallen_back == 4
    assert both.sentence() == "4 of 12 operators in 2 networks ran otherwise than asked: 3 a, 1 b"
    assert Placement(1, 9).sentence() == "" and "of 7 operators in the network ran" in two.sentence()
    assert Placement.from_dict(both.to_dict()) == both
    for wrong in (None, [], {}, {**both.to_dict(), "operators": -1}, {**both.to_dict(), "elsewhere": {"a": True}}):
        with pytest.raises(ValueError, match="operators that fell back are counts"):
            Placement.from_dict(wrong)


def test_onnxruntime_tells_what_eight_bits_left_in_floats() -> None:
    space = every_kind(16, 10, 3)
    whole = fbnet(16, num_classes=10, width=0.25).decode([2] * 22)
    pool = {"ReduceMean in fp32"}
    for arch, kinds in ((whole, pool), (space.decode((2, 10, 8)), {"HardSigmoid in fp32", *pool})):
        found = fallen_back([arch], Device(dtype="int8"))
        assert found is not None and found.operators > 10
        assert set(found.elsewhere) == kinds
    floats = placement_of(graph("Relu", "Sin"), SHAPE, Device(dtype="int8"))
    assert {"Conv in fp32", "Sin in fp32"} <= {name.replace("Fused", "") for name in floats.elsewhere}
    assert floats.fallen_back == floats.operators
    assert placement_of(graph("Relu", "Sin"), SHAPE, Device()).elsewhere == {}
    assert fallen_back([whole], Device()) is None  # nothing to fall back to


def test_openvino_tells_the_arithmetic_of_each_operator() -> None:
    from nas.latency.runtimes.openvino import RUNTIME

    installed("openvino")

    def placed(model: bytes, dtype: str) -> Placement:
        return RUNTIME.open(model, SHAPE, Device(runtime="openvino", dtype=dtype), 1)[0].placement()

    assert placed(graph("Relu", "Sin"), "fp32").elsewhere == {}
    assert sum(placed(graph("Relu", "Sin"), "int8").elsewhere.values()) == 2  # a graph of floats, asked for 8 bits
    assert placed(graph("Relu", "Sin"), "fp32").operators == 2


def test_litert_tells_what_xnnpack_did_not_take() -> None:
    from nas.latency.runtimes.litert import RUNTIME

    installed("litert")
    device = Device(runtime="litert")
    assert isinstance(RUNTIME, GraphRuntime)
    whole = RUNTIME.open(graph("Relu", "Sigmoid"), SHAPE, device, 1)[0].placement()
    assert whole.elsewhere == {} and whole.operators >= 2


class Enlarged(torch.nn.Module):
    """A convolution, its map at twice the size by nearest neighbours, and a convolution: half of a decoder."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.parts = torch.nn.ModuleList([torch.nn.Conv2d(4, 8, 3, padding=1), torch.nn.Conv2d(8, 4, 1)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = self.parts
        return second(torch.nn.functional.interpolate(first(x).relu(), scale_factor=2))


@pytest.mark.parametrize(
    ("name", "left"), [("litert", "RESIZE_NEAREST_NEIGHBOR"), ("executorch", "upsample_nearest2d")]
)
def test_what_xnnpack_does_not_take_is_counted_and_named(name: str, left: str, monkeypatch) -> None:
    """And is computed all the same."""
    device, runtime = installed(name), runtime_named(name)
    assert isinstance(runtime, GraphRuntime)
    module = Enlarged().eval()
    with torch.no_grad():
        wanted = module(torch.from_numpy(image(SHAPE))).numpy()
    assert np.abs(runtime.output(module, SHAPE, device) - wanted).max() < 1e-4 * np.abs(wanted).max()
    monkeypatch.setattr("nas.latency.tables.fall_backs.build_network", lambda arch: module)
    arch = dataclasses.replace(SPACE.decode([0] * len(SPACE.variables)), resolution=6, in_channels=4)
    found = fallen_back([arch, arch], device)
    assert found is not None and found.elsewhere == {f"{left} outside XNNPACK": 2}
    assert found.operators >= 6 and f"2 {left} outside XNNPACK" in found.sentence()


def test_a_tflite_file_tells_the_same(tmp_path) -> None:
    from nas.export.formats.litert import placement
    from nas.latency.graphs.tflite import to_tflite

    installed("litert")
    path = tmp_path / "m.tflite"
    path.write_bytes(to_tflite(graph("Relu", "Sigmoid")))
    assert placement(path).elsewhere == {} and placement(path).operators >= 2


def test_ncnn_tells_layers_that_take_no_16_bits() -> None:
    installed("ncnn")
    device = Device(runtime="ncnn", dtype="bf16")
    arch = SPACE.decode([0] * len(SPACE.variables))
    found = fallen_back([arch, arch], device)
    assert found is not None and found.networks == 2
    assert fallen_back([arch], dataclasses.replace(device, dtype="fp32")).elsewhere == {}  # type: ignore[union-attr]
    assert set(found.elsewhere) <= {"ConvolutionDepthWise in fp32", "Reduction in fp32", "Pooling in fp32"}


def test_a_table_keeps_them_and_says_so(tmp_path, monkeypatch, capsys) -> None:
    told = Placement(4, 80, {"HardSwish in fp32": 6})
    monkeypatch.setattr("nas.latency.build.fallen_back", lambda archs, device: told)
    table = build_table(SPACE, Device(), tmp_path, effort=SMALL)
    (file,) = tmp_path.glob("*.json")
    assert table.fell_back == LatencyTable.load(file).fell_back == told
    show(table, file, 1.0)
    said = capsys.readouterr()
    assert "6 of 80 operators in 4 networks ran otherwise than asked: 6" in " ".join((said.out + said.err).split())
    shown, silent = proof(table), proof(dataclasses.replace(table, fell_back=Placement(4, 80)))
    assert shown is not None and "6 HardSwish in fp32" in shown.fell_back
    assert silent is not None and silent.fell_back == ""
    old = dataclasses.replace(table, fell_back=None).to_dict()
    assert "fell_back" not in old and LatencyTable.from_dict(old).fell_back is None


def test_graphs_are_valid() -> None:
    onnx.checker.check_model(onnx.load_from_string(graph("Relu")))


def test_a_kit_brings_what_fell_back_on_its_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a table made here counts it; in the table, on screen and in the report."""
    space, device = tiny(), Device("phone", dtype="int8")
    kit = write_kit(space, device, tmp_path / "kit", effort=LEAST)
    measure_on(phone(tmp_path / "python"), kit)
    table = import_kit(kit, space)
    held_out = [arch for arch, _, role in read_results(kit).networks() if role == "held_out"]
    assert table.fell_back == fallen_back(held_out or [space.decode([0]), space.decode([1])], device)
    assert table.fell_back is not None and table.fell_back.elsewhere == {"ReduceMean in fp32": table.fell_back.networks}
    assert LatencyTable.from_dict(table.to_dict()) == table
    show(table, tmp_path / "table.json", 1.0)
    assert table.fell_back.sentence() in capsys.readouterr().out
    shown = proof(table)
    assert shown is not None and shown.fell_back == table.fell_back.sentence()

    results = json.loads((kit / "results.json").read_text())
    for placed, message in (
        (None, None),  # nothing to fall back to
        ("", None),  # by the script of an earlier release
        ({"networks": -1, "operators": 3, "elsewhere": {}}, "operators that fell back are counts"),
        ([1], "operators that fell back are counts"),
    ):
        changed = {key: value for key, value in results.items() if key not in ("digest", "fell_back")}
        changed |= {} if placed == "" else {"fell_back": placed}
        (kit / "results.json").write_text(json.dumps({**changed, "digest": seal(changed, "digest")}))
        if message is None:
            assert import_kit(kit).fell_back is None
        else:
            with pytest.raises(ValueError, match=message):
                import_kit(kit)


def test_a_kit_of_found_networks_says_what_fell_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.latency.kits.of_networks.EFFORT", LEAST)
    device = Device("phone", dtype="int8")
    kit = write_network_kit([tiny().decode([0])], device, tmp_path / "kit")
    measure_on(phone(tmp_path / "python"), kit)
    import_network_times(kit, device)
    said = capsys.readouterr().out
    assert "1 of " in said and "operators in the network ran otherwise than asked: 1 ReduceMean in fp32" in said
