"""Tables of other projects that the tests of imports read, and what reads them."""

from __future__ import annotations

from pathlib import Path

from nas.latency.device import Device
from nas.latency.imports import Reading, import_file
from nas.latency.tables.table import LatencyTable
from search_spaces.families.fbnet import fbnet

DATA = Path(__file__).parents[1] / "fixtures"
LUT = DATA / "hwnasbench-fbnet" / "fbnet_cifar100_lut.json"
HELP = DATA / "help-fbnet" / "fbnet_latency.npz"
SINGLE_PATH = DATA / "single-path-nas" / "pixel1_runtime_model.json"
CIFAR = fbnet(32, num_classes=100, head_channels=1504)
PAPER = fbnet(224)
BOARD = Device(name="board")


def read(form: str, path: Path, space=CIFAR, **options) -> LatencyTable:
    return import_file(form, path, space=space, device=BOARD, reading=Reading(**options))


def csv_lines(unit: str = "us", device: str = "") -> list[str]:
    lines = [f"position,candidate,{unit}" + (",device" if device else "")]
    tail = f",{device}" if device else ""
    lines.append(f"fixed,stem,150{tail}")
    for i, position in enumerate(PAPER.positions):
        for layer in position.candidates:
            lines.append(f"{i + 1},{layer.label},{layer.cost(position.shape).macs * 1e-4}{tail}")
    return lines


# -- block tables, written here in the two YAML forms

PROXYLESS = """
Conv-input:224x224x3-output:112x112x32: {count: 10, mean: 4.0, var: 0.25}
expanded_conv-input:112x112x32-output:112x112x16-expand:1-kernel:3-stride:1-idskip:0: {count: 10, mean: 2.0, var: 0.0}
expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:5-stride:2-idskip:0: {count: 10, mean: 7.5, var: 0.1}
Conv_1-input:56x56x24-output:56x56x1280: {count: 10, mean: 3.0, var: 0.2}
Logits-input:56x56x1280-output:1000: {count: 10, mean: 0.3, var: 0.1}
"""
OFA = """
Conv-input:224x224x3-output:112x112x24: {count: 10, mean: 1.0, std: 0.1}
expanded_conv-input:112x112x24-output:56x56x32-expand:96-kernel:5-stride:2-idskip:0-se:1-hs:1:
  {count: 5, mean: 6, std: 0}
Conv_1-input:56x56x32-output:56x56x1152: {count: 10, mean: 0.7, std: 0.02}
AvgPool2D-input:56x56x1152-output:1x1x1152: {count: 10, mean: 0.25, std: 0.02}
Conv_2-input:1x1x1152-output:1x1x1536: {count: 10, mean: 0.5, std: 0.02}
Logits-input:1x1x1536-output:1000: {count: 10, mean: 0.6, std: 0.02}
"""


def text_table(change=lambda lines: None, header: str = "") -> list[list[str]]:
    """A consistent text table of the paper geometry: the time follows multiply-adds; leaving out costs 0.02 ms."""
    lines = []
    for position in PAPER.positions:
        macs = [layer.cost(position.shape).macs for layer in position.candidates]
        lines.append([f"{0.02 + m * 1e-6:.9f}" for m in macs])
    change(lines)
    return lines


def write(tmp_path: Path, lines: list[list[str]], header: str = "", name: str = "table.txt") -> Path:
    path = tmp_path / name
    path.write_text(header + "\n".join(" ".join(line) for line in lines) + "\n")
    return path


def write_csv(tmp_path: Path, lines: list[str]) -> Path:
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "table.csv"
