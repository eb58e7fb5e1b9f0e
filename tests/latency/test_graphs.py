"""Graphs read back and prepared for runtimes: as torch modules, as TensorFlow Lite files, and kept."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from nas.latency.device import Device
from nas.latency.graphs.plain import NoForm, folded, read
from nas.latency.graphs.stand_in import kept, stand_in
from nas.latency.graphs.tflite import to_tflite
from nas.latency.graphs.torch_module import GraphModule
from nas.latency.measuring.onnx_graph import to_onnx
from nas.networks.network import Network
from search_spaces.arch import Arch
from search_spaces.families.fbnet import fbnet

from .test_fall_backs import graph
from .test_runtime_contract import NETWORKS, installed, network


@pytest.mark.parametrize("which", NETWORKS)
def test_a_graph_computes_in_torch_what_its_module_did(which: str) -> None:
    space, genotype = NETWORKS[which]
    arch = space.decode(genotype)
    made = network(arch)
    x = torch.randn(2, *arch.input_shape, generator=torch.Generator().manual_seed(0))
    plain = read(to_onnx(made, tuple(x.shape)).SerializeToString())
    with torch.no_grad():
        wanted = made(x)
        for form in (plain, folded(plain)):
            assert (GraphModule(form).eval()(x) - wanted).abs().max() < 1e-4 * wanted.abs().max()
    norms = [sum(node.kind == "BatchNormalization" for node in form.nodes) for form in (plain, folded(plain))]
    assert norms[0] > 0 == norms[1]


def test_operators_without_a_form_are_named() -> None:
    for convert in (lambda model: GraphModule(read(model)), to_tflite):
        with pytest.raises(NoForm, match="Sin"):
            convert(graph("Sin"))


def test_tflite_files_hold_what_the_converter_writes() -> None:
    """Operators of FBNet's third candidates everywhere, as litert-torch 0.10.0 wrote them; reshapes are free."""
    installed("litert")
    from ai_edge_litert.interpreter import Interpreter

    arch = fbnet(32, 10, 3).decode([2] * 22)
    model = to_tflite(to_onnx(Network(arch), (1, 3, 32, 32)).SerializeToString())
    found = Counter(op["op_name"] for op in Interpreter(model_content=model)._get_ops_details())
    expected = {"CONV_2D": 46, "DEPTHWISE_CONV_2D": 22, "ADD": 16, "PAD": 3, "TRANSPOSE": 1, "MEAN": 1}
    assert {name: found[name] for name in expected} == expected
    assert set(found) - set(expected) <= {"FULLY_CONNECTED", "RESHAPE", "DELEGATE"} and found["FULLY_CONNECTED"] == 1


def arch_of(which: str) -> Arch:
    return NETWORKS[which][0].decode(NETWORKS[which][1])


def test_stand_ins_keep_the_graph_and_its_answers_finite() -> None:
    arch = arch_of("kinds 1")
    model = to_onnx(network(arch), (1, *arch.input_shape)).SerializeToString()
    filled = stand_in(model)
    before, after = onnx.load_from_string(model), onnx.load_from_string(filled)
    assert [node.op_type for node in before.graph.node] == [node.op_type for node in after.graph.node]
    for one, other in zip(before.graph.initializer, after.graph.initializer, strict=True):
        assert (one.name, list(one.dims), one.data_type) == (other.name, list(other.dims), other.data_type)
        if one.data_type == onnx.TensorProto.INT64:
            assert (numpy_helper.to_array(one) == numpy_helper.to_array(other)).all()
    out = GraphModule(read(filled)).eval()(torch.randn(1, *arch.input_shape))
    assert out.isfinite().all() and out.abs().max() > 0


def test_what_was_prepared_is_kept_for_its_graph_and_maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    made: list[int] = []

    def make(content: bytes = b"\0" * 10_000_000) -> bytes:
        made.append(1)
        return content

    assert kept(b"graph", "maker 1", make) == kept(b"graph", "maker 1", make)
    assert len(made) == 1
    kept(b"graph", "maker 2", make)
    kept(b"another", "maker 1", make)
    assert len(made) == 3
    files = list((tmp_path / "cache" / "graphs").iterdir())
    assert len(files) == 3 and sum(file.stat().st_size for file in files) < 200_000
    for file in files:
        file.write_bytes(file.read_bytes()[:-1])
    assert len(kept(b"graph", "maker 1", make)) == 10_000_000 and len(made) == 4  # damage is noticed
    noise = np.random.default_rng(0).bytes(4_000_000)
    for _ in range(2):
        assert kept(b"weights", "maker 1", lambda: make(noise)) == noise
    assert len(made) == 6  # weights are not kept


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a folder that cannot be written")
def test_a_cache_that_cannot_be_written_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    assert kept(b"graph", "maker", lambda: b"made") == b"made"


def test_devices_of_the_same_key_are_equal_whatever_the_interpreter() -> None:
    assert Device(python="/a") == Device() and hash(Device(python="/a")) == hash(Device())
    assert Device(python="/a").key == Device().key
    with pytest.raises(ValueError, match="device python must be the path of a Python interpreter, got 3"):
        Device(python=3)  # type: ignore[arg-type]
