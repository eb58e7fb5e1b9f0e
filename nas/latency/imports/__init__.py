"""Tables that others measured: one reader per public format, one set of rules for what they may hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from nas.latency.device import Device
from nas.latency.imports import blocks, layers, networks, positions
from nas.latency.imports.text import content_kind
from nas.latency.tables.table import LatencyTable
from search_spaces.space import SearchSpace

FORMATS: dict[str, Callable[..., LatencyTable]] = {
    "csv": positions.read_csv,
    "text": positions.read_text,
    "hwnasbench": positions.read_hwnasbench,
    "single_path": positions.read_single_path,
    "proxylessnas": blocks.read_proxylessnas,
    "ofa": blocks.read_ofa,
    "help": networks.read_help,
    "layers": layers.read_layers,
}
KINDS = {"csv": "text", "text": "text", "layers": "text", "help": "archive"}  # those not listed are YAML
KINDS |= dict.fromkeys(("hwnasbench", "single_path"), "json")
FOLDERS = ("ofa",)  # formats of several files


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file may leave open.

    `source`: the device in a file of several. `unit`: one of `ms`, `us`, `s` for files that do not state theirs. Rows
    that are missing, negative, or contradict each other are refused by name; with `repair` they take the mean of the
    rows of the same layer and input, which is noted in the table.
    """

    source: str | None = None
    unit: str | None = None
    repair: bool = False


def import_file(
    form: str,
    path: str | Path,
    *,
    space: SearchSpace,
    device: Device,
    reading: Reading = Reading(),
) -> LatencyTable:
    """The table in the file `path` of the format `form` (a key of `FORMATS`), as measured on `device`.

    `space` is the space whose positions the file lists (ignored by the formats that bring their own blocks), `reading`
    says what the file leaves open. Raises `ValueError` for everything that is wrong and not repaired.
    """
    if form not in FORMATS:
        raise ValueError(f"unknown table format {form!r}; one of {', '.join(FORMATS)}")
    check_named(device)
    _check_kind(form, Path(path))
    try:
        table = FORMATS[form](Path(path), space=space, device=device, **asdict(reading))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    origin = {"file": Path(path).name, "format": form, "source": reading.source}
    return dataclasses.replace(table, environment={**table.environment, "imported": origin})


def check_named(device: Device) -> None:
    """What was measured elsewhere is not this machine's."""
    if device.name == "local":
        raise ValueError(
            "a table measured elsewhere is not this machine's: name its device, device.name=pixel1 "
            "(and device.runtime=tflite, ... as it was measured)"
        )


def _check_kind(form: str, path: Path) -> None:
    """Raise `ValueError` for a file that cannot be of the format `form`, by what it is."""
    if not path.exists():
        raise ValueError(f"no file at {path}")
    if path.is_dir():
        if form not in FOLDERS:
            raise ValueError(f"{path} is a folder; name the file in it")
        return
    found, wanted = content_kind(path), KINDS.get(form, "text")
    if found == wanted or (form not in KINDS and found == "json"):  # YAML may look like JSON
        return
    likely = [name for name, kind in KINDS.items() if kind == found]
    raise ValueError(
        f"{path} is {'a zip archive (npz)' if found == 'archive' else found}, and format={form} reads {wanted}; "
        f"{found} files are read by format={' or '.join(likely)}"
    )
