"""What lies around this program: devices that can be named, latency tables, data sets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from nas.latency.devices import TargetDevice
from nas.latency.devices.base import Finding
from nas.latency.tables.table import LatencyTable
from nas.terminal.configuration.composition import CONF

LISTED = 12  # tables; the latest
TORCHVISION = {
    "FashionMNIST/raw": "fashion_mnist",
    "cifar-10-batches-py": "cifar10",
    "cifar-100-python": "cifar100",
}


def kinds_of_devices(own: Sequence[Path]) -> list[Finding]:
    """The cards of devices, those in the folders `own` among them, and whether each can be used from here."""
    ssh = shutil.which("ssh")
    found: list[Finding] = [
        ("device=local", "ok", "this machine", "under any runtime above"),
        ("device=ssh", "ok" if ssh else "no", "a board or server", "device.host=" if ssh else "install ssh"),
        ("device=table", "ok", "a latency table alone", "device.file="),
    ]
    for folder in (CONF, *own):
        for card in sorted((folder / "device").glob("*.yaml")):
            if folder != CONF or card.stem not in ("local", "ssh", "table"):
                found.append((f"device={card.stem}", "ok", "a card of your own", str(card)))
    return found


def device(asked: TargetDevice) -> list[Finding]:
    """Whether the device can do what is asked of its kind, step by step, and what it is."""
    try:
        return asked.findings()
    except (ValueError, OSError) as error:
        return [("device", "bad", "not usable", str(error))]


def tables(folder: Path) -> list[Finding]:
    """The latest latency tables in `folder`: whose, of which space, how far they are from whole networks."""
    files = [(path.stat().st_mtime, path) for path in folder.glob("*.json")] if folder.is_dir() else []
    if not files:
        return [("latency tables", "no", "0", "built on first use: python -m nas.latency space=fbnet")]
    latest = [path for _, path in sorted(files, reverse=True)]
    found = [_table(path) for path in latest[:LISTED]]
    if len(latest) > LISTED:
        found.append(("older ones", "ok", str(len(latest) - LISTED), str(folder)))
    return found


def _table(path: Path) -> Finding:
    """A damaged table is no fault of the machine: it is said, and measured anew by the device that is asked for."""
    try:
        table = LatencyTable.load(path)
    except ValueError as error:
        return path.name, "no", "cannot be read", str(error)
    proof = table.proof
    proven = "not proven" if proof is None else f"off by {proof.calibrated.mape_percent:.1f}% on whole networks"
    return table.space, "ok", str(table.device), f"{len(table.rows_)} rows, {proven}"


def data_sets(root: Path, own: Sequence[Path]) -> list[Finding]:
    """What `data=` can be here: digits, and what of `root` looks like a data set, as it would be named."""
    found: list[Finding] = [("digits", "ok", "1,797 images", "data=digits")]
    for folder in own:
        cards = sorted((folder / "data").glob("*.yaml"))
        found += [(card.stem, "ok", "a card of your own", f"data={card.stem}") for card in cards]
    if not root.is_dir():
        return [*found, (str(root), "no", "no such folder", "optional: data_root= is where others are looked for")]
    found += [
        (card, "ok", "files", f"data={card} data.root={root}")
        for at, card in TORCHVISION.items()
        if (root / at).is_dir()
    ]
    known = {root / at.partition("/")[0] for at in TORCHVISION}
    for path in sorted(root.iterdir()):
        if not path.name.startswith(".") and path not in known and (card := _card_for(path)):
            found.append((path.name, "ok", "files", f"data={card} data.root={path}"))
    return found


def _card_for(path: Path) -> str | None:
    """The card that reads `path`, by the look of it; None for what is no data set."""
    if path.is_file():
        return "npz" if path.suffix == ".npz" else None
    if not os.access(path, os.R_OK | os.X_OK):
        return None
    if any(path.glob("*.tar")) or any(path.glob("*/*.tar")):
        return "shards"
    if any((path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json")):
        return "huggingface"
    return "imagefolder" if any(inner.is_dir() for inner in path.iterdir()) else None
