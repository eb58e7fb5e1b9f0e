"""Files are timed by new processes, under the runtime of their format."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nas.export.formats.onnx import FORMAT
from nas.latency.device import Device
from nas.latency.measuring import networks
from nas.latency.measuring.networks import measure_file
from nas.networks.network import Network
from search_spaces.families.fbnet import fbnet

PROGRAM = [sys.executable, "-m", "nas.export.timed_file"]


def test_a_file_is_timed_by_new_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its format's runtime as under ours, where both are ONNX Runtime."""
    monkeypatch.setattr(networks, "PROCESSES", 2)
    monkeypatch.setattr(networks, "MORE", ())
    arch = fbnet(32, width=0.5).decode([7] * 22)
    FORMAT.write(Network(arch).eval(), arch.input_shape, 1, tmp_path / "n.onnx")
    shape = (1, *arch.input_shape)
    times = [measure_file(tmp_path / "n.onnx", shape, arch, Device(), c) for c in ((), [*PROGRAM, "onnx"])]
    assert [time.processes for time in times] == [2, 2]
    assert 0.2 < times[0].latency_ms / times[1].latency_ms < 5
    with pytest.raises(ValueError, match="unknown format 'tflite'; one of"):
        measure_file(tmp_path / "n.onnx", shape, arch, Device(), [*PROGRAM, "tflite"])
