"""Other arithmetic, batches and processors than the default."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.measuring.measure import Repeats, measure_arch_ms
from nas.latency.measuring.onnx_graph import to_onnx
from nas.latency.measuring.quantize import quantize
from nas.latency.measuring.timing import Copies
from nas.latency.runtimes import NAMES, check_local, register, runtime_named
from nas.latency.runtimes.base import Runtime
from nas.latency.tables.origin import elsewhere, here
from nas.networks.network import Network
from search_spaces.families.fbnet import fbnet
from search_spaces.plain_data.own_code import _statements
from tests.search_spaces.every_kind import every_kind

from .test_build import SMALL, SPACE
from .test_onnx_graph import session

ARCH = fbnet(32, num_classes=10, width=0.5).decode([2] * 22)


@pytest.mark.parametrize(
    "device", [Device(dtype="int8"), Device(runtime="torch", dtype="bf16"), Device(batch_size=32)], ids=lambda d: d.key
)
def test_other_keys_measure(device: Device) -> None:
    result = measure_arch_ms(ARCH, device, repeats=Repeats(2, 2.0))
    assert result.median_ms > 0
    if device.batch_size == 32:
        one = measure_arch_ms(ARCH, Device(), repeats=Repeats(2, 2.0))
        # the reference runs on batches of the same size, so that it stands for the work of a batch, not of an image
        assert result.median_ms > one.median_ms


def test_quantised_graph_is_int8_and_close(tmp_path) -> None:
    torch.manual_seed(0)
    network = Network(ARCH).eval()
    shape = (1, 3, 32, 32)
    full = to_onnx(network, shape)
    small = quantize(full, shape)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    wanted = session(full).run(None, {"input": x})[0].ravel()
    got = session(small, str(tmp_path / "o.onnx")).run(None, {"input": x})[0].ravel()
    kinds = [node.op_type for node in onnx.load(tmp_path / "o.onnx").graph.node]
    assert kinds.count("QLinearConv") == 68 and "Conv" not in kinds
    assert np.corrcoef(wanted, got)[0, 1] > 0.9


def test_quantised_graphs_of_every_kind_are_int8_and_close(tmp_path) -> None:
    """MobileNetV4's blocks with both depthwise convolutions, dense ones, ResNet's, those with squeeze and scale."""
    space = every_kind(16, 10, 3)
    for genotype in ((3, 7, 6), (4, 8, 4), (2, 10, 8), (9, 5, 1)):
        torch.manual_seed(0)
        network, shape = Network(space.decode(genotype)).eval(), (1, 3, 16, 16)
        full = to_onnx(network, shape)
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        wanted = session(full).run(None, {"input": x})[0].ravel()
        got = session(quantize(full, shape), str(tmp_path / "o.onnx")).run(None, {"input": x})[0].ravel()
        kinds = [node.op_type for node in onnx.load(tmp_path / "o.onnx").graph.node]
        assert kinds.count("QLinearConv") >= 9 and "Conv" not in kinds
        assert np.corrcoef(wanted, got)[0, 1] > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_a_runtime_is_declared_whole(name: str) -> None:
    runtime = runtime_named(name)
    assert runtime.name == name and set(runtime.processors) <= {"cpu", "cuda"}
    assert runtime.in_calling_thread(Device(runtime=name)) is runtime.computes_in_caller
    assert not runtime.in_calling_thread(Device(runtime=name, threads=2))  # other threads compute too
    assert not runtime.in_calling_thread(Device(runtime=name, processor="cuda"))
    for change, what in (({"dtype": "fp4"}, "dtype=fp4"), ({"processor": "npu"}, "processor=npu")):
        with pytest.raises(ValueError, match=f"runtime {name} does not measure {what}; one of "):
            check_local(Device(runtime=name, **change))
    with pytest.raises(ValueError, match=f"there is a runtime '{name}' already"):
        register(runtime)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("batch_size", [1, 64])
def test_cuda_table(dtype: str, batch_size: int, tmp_path) -> None:
    device = Device(runtime="torch", processor="cuda", dtype=dtype, batch_size=batch_size)
    table = build_table(SPACE, device, tmp_path, effort=SMALL)
    assert table.environment["gpu"]
    assert all(row.ms > 0 for row in table.rows_)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_is_refused_where_there_is_none(tmp_path) -> None:
    with pytest.raises(ValueError, match="torch sees no CUDA device"):
        build_table(SPACE, Device(runtime="torch", processor="cuda"), tmp_path)
    with pytest.raises(ValueError, match="no CUDA provider"):
        measure_arch_ms(ARCH, Device(processor="cuda"))


def test_a_runtime_of_ones_own_that_claims_cuda_must_check_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Runtime):
        name = "own"
        dtypes = ("fp32",)
        processors = ("cpu", "cuda")

        def load(self, module: torch.nn.Module, shape: tuple[int, ...], device: Device, count: int) -> Copies:
            raise AssertionError("nothing is measured")

    monkeypatch.setattr("nas.latency.runtimes._OWN", {})
    register(Own())
    check_local(Device(runtime="own"))
    with pytest.raises(ValueError, match=r"runtime own lists cuda .* no require_cuda\(\)") as refused:
        check_local(Device(runtime="own", processor="cuda"))
    assert "\n" not in str(refused.value)


def test_times_of_a_runtime_of_ones_own_know_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its versions are those of packages, which an edit of the file does not change. Tables from before that was kept
    do not say it and are used as they were."""
    monkeypatch.setattr("nas.latency.runtimes._OWN", {})
    monkeypatch.syspath_prepend(tmp_path)
    file, device = tmp_path / "own_clock.py", Device(runtime="own_clock")

    def edited(scale: int, remark: str = "") -> dict[str, Any]:
        file.write_text(OWN_RUNTIME.format(scale=scale) + remark)
        importlib.invalidate_caches()
        _statements.cache_clear()
        sys.modules.pop("own_clock", None)
        importlib.import_module("own_clock")
        return here(device)

    found = edited(1)
    assert edited(1, "# a remark") == found
    assert not elsewhere(device, found, [])
    edited(200)
    assert elsewhere(device, found, []).startswith('runtime_code is "own_clock ')
    assert not elsewhere(device, {key: value for key, value in found.items() if key != "runtime_code"}, [])
    assert "runtime_code" not in here(Device())


OWN_RUNTIME = """
from nas.latency.runtimes import register
from nas.latency.runtimes.base import Runtime


class Clock(Runtime):
    name = "own_clock"
    dtypes = ("fp32",)

    def load(self, module, shape, device, count):
        return [lambda calls: [float({scale})] * calls] * count


register(Clock())
"""
