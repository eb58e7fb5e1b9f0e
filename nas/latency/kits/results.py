"""What a kit brings back: its `results.json`, checked against the kit that it is of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.latency.device import Device
from nas.latency.kits.files import FORMAT, VERSION, check_name
from nas.latency.measuring.elasticity import elasticities
from nas.latency.measuring.journal import seal
from nas.latency.measuring.kit_script import groups
from nas.latency.measuring.samples import Conditions, Measurement, calm_speed, measurements
from nas.latency.measuring.visits import LEAST_VISITS, Visit, Visits, visit_of
from nas.latency.placement import Placement
from nas.latency.tables import fields
from nas.runs.files import read_json
from search_spaces.arch import Arch

READ = (2, VERSION)
ONLY_REFERENCE = "6m"  # of kits of version 2
LEAST_ROUNDS_2 = 6  # that a limit on time left to their networks


@dataclass(frozen=True)
class Results:
    """What was measured of a `kit` (its `kit.json`): the device, where and with what, and all visits.

    `fell_back`: where the operators of its networks ran; None where there is nothing to fall back to, or where the
    script of an earlier release, which did not look, measured.
    """

    kit: Mapping[str, Any]
    device: Device
    environment: dict[str, Any]
    visits: Visits
    fell_back: Placement | None

    def networks(self) -> list[tuple[Arch, str, str]]:
        """Its networks in their order: arch, key of its visits, role."""
        return [(Arch.from_dict(net["arch"]), net["key"], net["role"]) for net in self.kit["networks"]]

    @property
    def rungs(self) -> dict[str, str]:
        """Which reference stood beside each workload."""
        return {e["key"]: e.get("rung", ONLY_REFERENCE) for e in [*self.kit["rows"], *self.kit["networks"]]}

    def calm_speed(self) -> dict[str, float]:
        """The references' calm times, as they were seen meanwhile."""
        return calm_speed(self.visits, self.rungs)

    def elasticities(self) -> dict[str, float]:
        """How much the workloads felt of what slowed the references beside them."""
        return elasticities(self.visits, self.rungs)

    def times(self, at: Conditions) -> dict[str, Measurement]:
        """The time of every workload at the calm speed of its reference."""
        return measurements(self.visits, self.rungs, at.beside(self.calm_speed()))


def read_results(folder: str | Path) -> Results:
    """The results in the kit `folder`.

    Raises `ValueError` where the kit or its results are missing, unfinished, damaged, of another kit, unit or version.
    """
    folder = Path(folder)
    kit = _checked(folder / "kit.json", "latency kit", FORMAT, "id")
    if not (folder / "results.json").exists():
        begun = " (it was begun there)" if (folder / "results.jsonl").exists() else ""
        raise ValueError(f"the kit {folder} has no results.json yet{begun}; run python measure.py in it on the device")
    results = _checked(folder / "results.json", "result file of a latency kit", f"{FORMAT}_results", "digest")
    with naming(folder):
        if results["kit"] != kit["id"] or results["version"] != kit["version"]:
            raise ValueError(f"results.json is of kit {results['kit']!r}, this is kit {kit['id']}")
        if results["unit"] != "ms":
            raise ValueError(f"results.json is in {results['unit']!r}, expected 'ms'")
        device = Device.from_dict(kit["device"])
        if Device.from_dict(results["device"]) != device:
            raise ValueError(f"results.json is of device {results['device']}, the kit is for {kit['device']}")
        check_name(device)
        visits = _visits(kit, results["visits"])
        placed = results.get("fell_back")
        fell_back = None if placed is None else Placement.from_dict(placed)
        return Results(kit, device, fields.environment(results["environment"]), visits, fell_back)


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Errors inside name the kit `folder`; a lack of what it must hold is a `ValueError`."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the kit {folder} is incomplete: {error!r}") from None
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None


def _checked(path: Path, what: str, form: str, key: str) -> dict[str, Any]:
    """The file `path`, which carries the digest of the rest of it as `key`."""
    data = read_json(path, what)
    if not isinstance(data, dict) or data.get("format") != form:
        raise ValueError(f"{path} is not a {what}")
    if data.get("version") not in READ:
        raise ValueError(f"{path} has version {data.get('version')!r}, this release reads {VERSION}; write a new kit")
    if data.get(key) != seal(data, key):
        raise ValueError(f"{what} {path} is damaged (its digest differs); copy it from the device again")
    return data


def _visits(kit: dict[str, Any], made: dict[str, Any]) -> Visits:
    """The visits of every workload of the kit. Raises `ValueError` naming the first that lacks or has odd ones."""
    visits: Visits = {}
    old = kit["version"] != VERSION
    for name in ("rounds", "network_rounds"):
        fields.whole(kit["effort"][name], f"effort.{name}", 2)
    for what, group in groups(kit["rows"], kit["networks"], kit["effort"]).items():
        most = group.rounds if old else group.processes * group.visits_each
        least = LEAST_ROUNDS_2 if old else group.processes * LEAST_VISITS
        least = min(most, least) if what == "networks" else most  # large networks may get fewer visits
        for entry in group.entries:
            turns = made.get(entry["key"], [])
            if not least <= len(turns) <= most:
                raise ValueError(f"{_name(entry)} was timed {len(turns)} times instead of {most}; measure again")
            found = [_visit_2(turn) if old else visit_of(turn) for turn in turns]
            for turn, visit in zip(turns, found, strict=True):
                if visit is None:
                    raise ValueError(f"{_name(entry)} has the visit {turn!r}, not a time in ms; measure again")
            visits[entry["key"]] = {i: visit for i, visit in enumerate(found) if visit is not None}
    return visits


def _name(entry: Mapping[str, Any]) -> str:
    """How an entry of a kit is called in messages."""
    return str(entry.get("file", entry["key"]))


def _visit_2(turn: Any) -> Visit | None:
    """A visit of a kit of version 2: time, reference's time, calls. One process made all, beside one reference."""
    return visit_of([*turn, 0, turn[0]]) if isinstance(turn, list) and len(turn) == 3 else None
