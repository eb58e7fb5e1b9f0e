"""Files are timed by new processes, under the runtime of their format."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nas.latency.device import Device
from nas.latency.measuring.networks import measure_file
from nas.latency.runtimes.onnxruntime import onnx_model
from nas.networks.network import Network
from search_spaces.families.fbnet import fbnet

LIGHT = """
import sys, nas.export.timed_file
from nas.export.formats import NAMES, format_named
for name in NAMES:
    format_named(name)
assert not {"torch", "timm"} & set(sys.modules), "each process would take seconds to start"
"""
PROGRAM = [sys.executable, "-m", "nas.export.timed_file"]


def test_a_file_is_timed_by_new_processes(tmp_path: Path, two_processes: None) -> None:
    """Under its format's runtime as under ours, where both are ONNX Runtime."""
    arch = fbnet(16, 10, width=0.25).decode([2] * 22)
    shape = (1, *arch.input_shape)
    (tmp_path / "n.onnx").write_bytes(onnx_model(Network(arch).eval(), shape, "fp32").SerializeToString())
    times = [measure_file(tmp_path / "n.onnx", shape, arch, Device(), c) for c in ((), [*PROGRAM, "onnx"])]
    assert [time.processes for time in times] == [2, 2]
    assert 0.2 < times[0].latency_ms / times[1].latency_ms < 5
    with pytest.raises(ValueError, match="unknown format 'tflite'; one of"):
        measure_file(tmp_path / "n.onnx", shape, arch, Device(), [*PROGRAM, "tflite"])


def test_such_a_process_imports_no_more_than_it_needs() -> None:
    subprocess.run([sys.executable, "-c", LIGHT], check=True)
