"""The model of peak memory beside what ONNX Runtime's planner asks of its arena."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nas.latency.measuring.onnx_graph import to_onnx
from nas.networks.network import build_network
from search_spaces import zoo
from search_spaces.memory.counted import Counted

# How often the model's figure the runtime takes. It does not count the image. Without its own fusion of sums it is the
# model to the byte where placing tensors leaves no gaps (ResNet8), and up to a fifth more where it does. With that
# fusion a sum writes over the shortcut: two maps instead of three. A swish is two operators there, whose input lives
# longer, so ReXNet takes twice as much.
FACTORS = {
    ("resnet8", "ORT_ENABLE_EXTENDED"): (1.0, 1.0),
    ("resnet8", "ORT_ENABLE_ALL"): (0.66, 1.0),
    ("mobilenetv2_100", "ORT_ENABLE_ALL"): (0.95, 1.2),
    ("mobilenetv3_large_100", "ORT_ENABLE_ALL"): (0.95, 1.2),
}
SLOW = {("fbnetc_100", "ORT_ENABLE_ALL"): (0.95, 1.25), ("rexnet_100", "ORT_ENABLE_ALL"): (1.5, 2.1)}


@pytest.mark.parametrize(("name", "level"), [*FACTORS, *(pytest.param(*key, marks=pytest.mark.slow) for key in SLOW)])
def test_the_runtime_takes_what_the_model_says_within_a_factor(name: str, level: str, tmp_path: Path) -> None:
    arch = zoo.published(name)
    (tmp_path / "net.onnx").write_bytes(to_onnx(build_network(arch), (1, *arch.input_shape)).SerializeToString())
    command = [sys.executable, str(Path(__file__).with_name("arena.py")), str(tmp_path / "net.onnx"), level]
    taken = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    low, high = (FACTORS | SLOW)[name, level]
    assert low <= taken / 1024 / arch.memory_kib(Counted("fp32")) <= high
