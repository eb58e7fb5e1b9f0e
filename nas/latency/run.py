"""One call of the latency command: a table built or imported and shown, or a kit or a file of rows written."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nas.latency.device import Device
from nas.latency.imports import FORMATS, Reading, check_named, import_file
from nas.latency.imports.layers import write_layers
from nas.latency.measuring.journal import locked
from nas.latency.setup import TYPES as TABLE_TYPES
from nas.latency.setup import TableSetup
from nas.latency.show import show
from nas.latency.tables.reuse import check_may_replace
from nas.latency.tables.table import LatencyTable
from nas.runs.files import read_json
from nas.terminal import progress

if TYPE_CHECKING:
    from nas.search.carried import CarriedRun

TYPES: dict[str, Any] = {
    "action": Literal["build", "kit", "import", "rows", "compare", "sample", "learn"],
    **TABLE_TYPES,
    "kit": str | None,
    "run": str | None,
    "file": str | None,
    "format": Literal[tuple(FORMATS)] | None,
    "source": str | None,
    "unit": Literal["ms", "us", "s"] | None,
    "repair": Literal["none", "average"],
    "devices": list[str] | None,
    "sources": list[str] | None,
    "samples": (int, 0),
}


SAMPLES = 10  # networks that action=sample writes


@dataclass(frozen=True)
class Compared:
    """The tables of `devices` (files), the networks of `run`, and how many random ones (`samples`) are compared."""

    devices: tuple[str, ...]
    run: str | None
    samples: int


@dataclass(frozen=True)
class LatencySetup:
    """What is done (`action`) about the table `table`: `conf/latency.yaml` explains each.

    `kit`: the folder of a kit. `run`: the finished search whose networks it holds (None: it holds a space's blocks).
    `file`: what others measured, in `format`, with `reading` for what it leaves open; or where the rows to fill in go,
    or the comparison of what is `compared`; or the times of networks to learn from, with the tables of `sources`.
    """

    action: str
    table: TableSetup
    kit: str | None
    run: CarriedRun | None
    file: str | None
    format: str | None
    reading: Reading
    compared: Compared
    sources: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any], of_run: Mapping[str, Any] | None = None) -> LatencySetup:
        """What a resolved configuration (`conf/latency.yaml`) asks for; `ValueError` where its action lacks a value.

        `of_run`: the stored settings of the run that it names.
        """
        if of_run is not None and (config["action"] not in ("kit", "import") or config["file"] is not None):
            raise ValueError("run=... goes with action=kit, action=compare, or action=import and a kit that came back")
        setup = cls(
            action=config["action"],
            table=TableSetup.from_config(config),
            kit=config["kit"],
            run=None,
            file=config["file"],
            format=config["format"],
            reading=Reading(config["source"], config["unit"], repair=config["repair"] == "average"),
            compared=Compared(tuple(config["devices"] or ()), config["run"], config["samples"]),
            sources=tuple(config["sources"] or ()),
        )
        if setup.action == "import" and setup.kit is not None and setup.file is not None:
            raise ValueError("action=import takes either kit=... or file=..., not both")
        of_file = dict.fromkeys(("rows", "sample", "learn"), ("file",))
        needed = {**of_file, "kit": ("kit",), "import": ("format", "file") if setup.kit is None else ()}
        if setup.action == "compare" and len(setup.compared.devices) < 2:
            raise ValueError("action=compare needs the tables of two or more devices: devices=[A.json,B.json]")
        for name in needed.get(setup.action, ()):
            if getattr(setup, name) is None:
                choices = "|".join(FORMATS) if name == "format" else "..."
                raise ValueError(f"action={setup.action} needs {name}={choices}")
        if setup.action == "import" and setup.kit is not None:
            read_json(Path(setup.kit) / "kit.json", "latency kit")
        if of_run is None:
            return setup
        if setup.kit is None:
            raise ValueError(f"action={setup.action} run={config['run']} needs kit=...")
        from nas.search.carried import CarriedRun  # here: torch takes seconds

        return dataclasses.replace(setup, run=CarriedRun.from_config(Path(config["run"]), of_run))


def run_latency(setup: LatencySetup) -> list[str]:
    """Do what `setup` asks for and say what came of it. Returns a phrase for each budget of a run that is missed."""
    if setup.run is not None:
        return _carry(setup.run, str(setup.kit), setup.action)
    if setup.action == "rows":
        _write_rows(setup)
    elif setup.action == "sample":
        _write_samples(setup)
    elif setup.action == "kit":
        _write_kit(setup)
    elif setup.action == "compare":
        _compare(setup)
    else:
        started = time.perf_counter()
        table, path = _TABLES[setup.action](setup)
        show(table, path, time.perf_counter() - started)
    return []


def _carry(run: CarriedRun, kit: str, action: str) -> list[str]:
    from nas.search.carried import import_found, write_found_kit

    if action == "import":
        return import_found(run, kit)
    write_found_kit(run, kit)
    return []


def _compare(setup: LatencySetup) -> None:
    from nas.latency.compare import compare, found_networks, load_tables, random_networks
    from nas.latency.compare import show as show_comparison

    asked, wanted = setup.compared, setup.table
    networks = found_networks(asked.run) if asked.run is not None else {}
    networks |= random_networks(wanted.space, asked.samples, wanted.visiting.seed)
    found = compare(load_tables(asked.devices), networks)
    show_comparison(found, Path(setup.file or Path(wanted.folder) / "compare.csv"))


def _write_rows(setup: LatencySetup) -> None:
    space, file = setup.table.space, str(setup.file)
    progress.log(
        f"{write_layers(space, file)} rows of {space.name} are in {file}: fill in their times and import it with "
        "action=import format=layers device.name=<what they are of>"
    )


def _write_kit(setup: LatencySetup) -> None:
    from nas.latency.kits.of_space import write_kit

    wanted = setup.table
    folder = write_kit(
        wanted.space,
        wanted.device.key,
        str(setup.kit),
        seed=wanted.visiting.seed,
        effort=wanted.effort,
        command=f"space={wanted.space.name} ...",
    )
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20
    progress.log(f"{folder} ({size:.1f} MB) is ready: copy it to the device and run python measure.py in it")


def _built(setup: LatencySetup) -> tuple[LatencyTable, Path]:
    wanted = setup.table
    return wanted.build(), wanted.device.table_path(wanted.space, wanted.folder)


def _imported(setup: LatencySetup) -> tuple[LatencyTable, Path]:
    wanted = setup.table
    if setup.kit is not None:
        from nas.latency.kits.of_space import import_kit

        table = import_kit(setup.kit, wanted.space)
        _check_device(setup.kit, wanted.device.key, table.device)
    else:
        table = import_file(
            str(setup.format), str(setup.file), space=wanted.space, device=wanted.device.key, reading=setup.reading
        )
    return table, _kept(table, wanted)


def _check_device(kit: str, asked: Device, found: Device) -> None:
    """Raise `ValueError` where settings ask for another device than the kit was written for."""
    usual, its = Device().to_dict(), found.to_dict()
    others = [f"device.{name}={v}" for name, v in asked.to_dict().items() if v not in (usual[name], its[name])]
    if others:
        raise ValueError(
            f"{kit} is a kit of {found}, which {' '.join(others)} does not change: write one for that device, "
            f"action=kit {' '.join(others)}, or leave that out"
        )


def _kept(table: LatencyTable, wanted: TableSetup) -> Path:
    path = Path(wanted.folder) / table.file_name
    with locked(path.with_suffix(".lock"), progress.log):  # another process may build it, or import too
        check_may_replace(path, table, wanted.refresh)
        table.save(path)
    return path


def _write_samples(setup: LatencySetup) -> None:
    from nas.latency.learning.times_file import write_samples

    wanted, file = setup.table, Path(str(setup.file))
    folder = write_samples(wanted.space, file, setup.compared.samples or SAMPLES, wanted.visiting.seed)
    progress.log(
        f"time the networks in {folder} on the device (nas.export writes their files), put the times into {file}, "
        f"then: action=learn file={file} device.name=<what they are of>, with sources=[...] where you have tables of "
        "other devices for this space"
    )


def _learned(setup: LatencySetup) -> tuple[LatencyTable, Path]:
    from nas.latency.imports.cells import check_networks, milliseconds
    from nas.latency.learning.few import few_sample_table
    from nas.latency.learning.times_file import read_times

    wanted, file = setup.table, Path(str(setup.file))
    check_named(wanted.device.key)
    if not file.is_file():
        raise ValueError(f"no file at {file}; action=sample writes one to fill in")
    try:
        unit_ms = milliseconds(setup.reading.unit or "ms")
        population, times = read_times(wanted.space, file, unit_ms, setup.reading.source)
        check_networks(wanted.space.count("macs")(population), times, wanted.device.key.batch_size)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    sources = [LatencyTable.load(source, wanted.space) for source in setup.sources]
    table = few_sample_table(wanted.space, population, times, sources, wanted.device.key)
    origin = {"file": file.name, "format": "times", "source": setup.reading.source}
    table = dataclasses.replace(table, environment={**table.environment, "imported": origin})
    return table, _kept(table, wanted)


_TABLES = {"build": _built, "import": _imported, "learn": _learned}
