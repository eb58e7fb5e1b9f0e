"""Every kind of device, ready to be used: what the contract suites run over."""

from __future__ import annotations

from pathlib import Path

from nas.latency.devices import TargetDevice
from nas.latency.devices.local import LocalDevice
from nas.latency.devices.table import TableDevice
from nas.latency.tables.table import LatencyTable, Row, entries
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, Skip
from search_spaces.space import LayerwiseSpace, SearchSpace

KINDS = ("local", "named", "table")


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


def device_of_kind(kind: str, folder: Path) -> TargetDevice:
    """A device of `kind` with a table of `tiny` in `folder`, so that none needs to be measured."""
    space, phone = tiny(), LocalDevice("phone", runtime="tflite", threads=4)
    if kind == "table":
        made_up_table(space, phone, {"kit": "abc"}).save(folder / "phone.json")
        return TableDevice(str(folder / "phone.json"))
    device = LocalDevice() if kind == "local" else phone
    made_up_table(space, device, None if kind == "local" else {"kit": "abc"}).save(device.table_path(space, folder))
    return device
