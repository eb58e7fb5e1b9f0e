"""`python -m nas.doctor`: this machine, packages, runtimes, devices, latency tables and data, and what each lacks.

What is listed first is looked up without importing anything heavy. Then every package that is installed is imported,
and torch and ONNX Runtime compute something, which takes seconds: a broken binary shows there alone. `imports=false`
leaves that out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from nas.doctor.around import data_sets, device, kinds_of_devices, tables
from nas.doctor.installed import packages, runtimes
from nas.doctor.machine import disk, machine
from nas.doctor.tried import compute, imports
from nas.latency.devices import device_of
from nas.latency.devices.base import Finding
from nas.terminal.configuration.arguments import card_folders
from nas.terminal.entry import DictConfig, check_types, entry, instantiate
from nas.terminal.progress import log, table

MARKS = {"ok": "ok", "no": "–", "bad": "FAULT"}


@entry("doctor")
def main(cfg: DictConfig) -> None:
    check_types(cfg, {"data_root": str, "tables": str, "imports": bool})
    asked = device_of(instantiate(cfg.device))
    own = card_folders(sys.argv[1:])
    found = [
        *shown("this machine", [*machine(), disk()]),
        *shown("packages", packages()),
        *shown("runtimes (device.runtime=)", runtimes()),
        *shown("devices (device=)", [*kinds_of_devices(own), *device(asked)]),
        *shown(f"latency tables (tables={cfg.tables})", tables(Path(cfg.tables))),
        *shown(f"data (data_root={cfg.data_root})", data_sets(Path(cfg.data_root), own)),
    ]
    if cfg.imports:
        found += shown("tried", [*imports(), *compute()])
    faults = [finding for finding in found if finding[1] == "bad"]
    for what, _, _, fix in faults:
        log(f"{what}: {fix}")
    if faults:
        raise ValueError(f"{len(faults)} of {len(found)} checks failed: {', '.join(f[0] for f in faults)}")
    log("everything needed works" if cfg.imports else "everything needed is there; imports=true tries it")


def shown(title: str, findings: Sequence[Finding]) -> Sequence[Finding]:
    """`findings`, printed."""
    table(title, ("what", "", "figure", "note"), [(w, MARKS[s], f, n) for w, s, f, n in findings])
    return findings


if __name__ == "__main__":
    main()
