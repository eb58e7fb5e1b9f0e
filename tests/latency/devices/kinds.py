"""Every kind of device, ready to be used: what the contract suites run over."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nas.latency.devices import TargetDevice
from nas.latency.devices.local import LocalDevice
from nas.latency.devices.ssh import SshDevice
from nas.latency.devices.table import TableDevice
from nas.latency.tables.table import LatencyTable, Row, entries
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, Skip
from search_spaces.space import LayerwiseSpace, SearchSpace

from .board import Board, free_port

BROUGHT = {"kit": "abc", "cpu": "Z80", "cores": 1}  # the environment of a table of some other machine


@dataclass(frozen=True)
class Kind:
    """How a device is made (`make(folder, board)`), what it promises, and one of its kind that cannot be used.

    `measures`: the networks found for it, from here. `is_here`: it is this machine. `needs_board`: a real sshd.
    """

    make: Callable[[Path, Callable[[], Board]], TargetDevice]
    broken: Callable[[Path, Callable[[], Board]], TargetDevice]
    measures: bool
    is_here: bool = False
    is_a_table: bool = False
    needs_board: bool = False


def tiny() -> LayerwiseSpace:
    """Two networks of few layers."""
    slots = [
        [[ConvBNAct(4, 3, stride=2)]],
        [[InvertedResidual(4, 3, expand_ratio=1), Skip(4)]],
        [[ConvBNAct(8)], [Classifier(3)]],
    ]
    return LayerwiseSpace("tiny", 8, slots, 1)


def made_up_table(space: SearchSpace, device: TargetDevice, environment: dict | None = None) -> LatencyTable:
    """A table of `device` that prices a layer at its multiply-adds / 1e6 ms, measured in `environment` (None: here)."""
    priced = [(layer, shape, layer.cost(shape).macs / 1e6) for layer, shape in entries(space)]
    rows = tuple(Row(layer, shape, ms, 0.0, 10, ms) for layer, shape, ms in priced)
    found = {**device.about(), "held_out_networks": 1000} if environment is None else environment
    return LatencyTable(space.name, device.key, rows, 0.0, None, environment=found)


def reached(board: Board, **changes: object) -> SshDevice:
    """The device that `board` is."""
    address = board.address
    made = SshDevice(address.host, board.port, address.options, address.python, board.folder, name="board")
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def _asked_once(board: Board) -> SshDevice:
    """One device for all tests: what its machine is takes seconds to ask."""
    return _ASKED.setdefault(board.port, reached(board))


_ASKED: dict[int, SshDevice] = {}


def _table_device(folder: Path, board: Callable[[], Board]) -> TableDevice:
    made_up_table(tiny(), LocalDevice("phone", runtime="tflite", threads=4), BROUGHT).save(folder / "phone.json")
    return TableDevice(str(folder / "phone.json"))


KINDS = {
    "local": Kind(
        lambda folder, board: _with_table(LocalDevice(), folder, None),
        lambda folder, board: LocalDevice(threads=10**6),
        measures=True,
        is_here=True,
    ),
    "named": Kind(
        lambda folder, board: _with_table(LocalDevice("phone"), folder, BROUGHT),
        lambda folder, board: LocalDevice("phone", dtype="bf16"),
        measures=False,
    ),
    "table": Kind(
        _table_device, lambda folder, board: TableDevice(str(folder / "none.json")), measures=False, is_a_table=True
    ),
    "ssh": Kind(
        lambda folder, board: _with_table(_asked_once(board()), folder, None),
        lambda folder, board: reached(board(), port=free_port()),
        measures=True,
        needs_board=True,
    ),
}


def _with_table(device: TargetDevice, folder: Path, environment: dict | None) -> TargetDevice:
    """`device`, whose table of `tiny` lies in `folder`, so that none needs to be measured."""
    made_up_table(tiny(), device, environment).save(device.table_path(tiny(), folder))
    return device
