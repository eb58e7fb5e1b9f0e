"""What `nas.derive` is told: a finished search, read back once, and the networks that are asked of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.data import ImageData
from nas.data.card import DataSource
from nas.data.space import build_space, resolution_of
from nas.derive.budget import OTHERS, BudgetRequest
from nas.derive.settings import TABLE, check_budget
from nas.latency import devices
from nas.latency.device import LOCAL
from nas.latency.devices import TargetDevice
from nas.latency.devices.table import TableDevice
from nas.latency.tables.table import LatencyTable
from nas.methods.base import Method, is_supernet
from nas.methods.candidates.problem import Problem
from nas.methods.candidates.settings import CandidateSettings
from nas.methods.candidates.training_job import search_recipe
from nas.methods.elastic.stored import SUPERNET
from nas.networks.location import NO_TEACHER
from nas.runs.result_file import read_result
from nas.runs.stored import Count, Schema, record
from nas.terminal.configuration import cards
from nas.terminal.progress import log
from nas.train.start.teacher import SETTINGS as TEACHING
from nas.train.start.teacher import Teacher
from search_spaces.memory.counted import Counted
from search_spaces.plain_data import identity
from search_spaces.plain_data.identity import Identity, digest
from search_spaces.recipe import Recipe
from search_spaces.space import SearchSpace
from search_spaces.wrappers.joint import JointSpace

BUDGETS = ("latency_ms", "fraction", *OTHERS)
CANDIDATES = "nas.methods.candidates.settings.CandidateSettings"
SETTINGS: Schema = {"budget": dict, "seed": Count | None}  # of a run, as they are stored
BUDGET: Schema = {
    **dict.fromkeys(("latency_ms", "fraction"), float | None),
    **dict.fromkeys(("macs", "params"), int | None),
    **dict.fromkeys(("memory_kib", "weights_kib", "energy_mj"), float | None),
    **dict.fromkeys(("dtype", "in_place"), str | None),
    "tolerance": float | None,
}


@dataclass(frozen=True)
class ElasticRun:
    """How candidates of a search inherited: from the checkpoint `supernet`; see `CandidateSettings` for the others.
    `data`: the images of the search, as they are now."""

    supernet: Path
    validation_fraction: float
    statistics: int
    data: ImageData

    @classmethod
    def of(cls, folder: Path, settings: CandidateSettings, data: ImageData) -> ElasticRun | None:
        """Of the run in `folder`; None where its candidates were trained."""
        if settings.scorer != "elastic":
            return None
        supernet = Path(settings.supernet or folder) / SUPERNET
        return cls(supernet, settings.validation_fraction, settings.statistics, data)

    def check_images(self, trained: Identity, seed: int) -> None:
        """Raise `ValueError` unless the supernet was `trained` on the images that a search of `seed` does not judge by:
        it may know those that it is judged by otherwise."""
        now = self.data.held_out(1 - self.validation_fraction, seed).train.fingerprint()
        fix = "put back the images that it was trained on (in files, test images count too), or search anew"
        identity.check(f"the supernet {self.supernet}", trained, {**trained, "data": now}, fix)


@dataclass(frozen=True)
class FinishedSearch:
    """A search that ended in `folder`: what it searched, how, and under which `budget` (its own, not a new one).

    `space`: for methods that train candidates a `JointSpace`, for supernets that of archs alone. `device`: whose table
    the run has; None where it has none. `data`: the card of its images, or a data set in memory. `counted`: how it
    counts memory and weights. `elastic`: how its candidates inherited, where they did. `teaching`: the settings of who
    taught its networks. `other_table`: of a `device` other than the run's.
    """

    folder: Path
    space: SearchSpace
    method: Method
    recipe: Recipe | None
    device: TargetDevice | None
    data: Mapping[str, Any] | ImageData
    budget: BudgetRequest
    seed: int
    counted: Counted
    elastic: ElasticRun | None = None
    teaching: Mapping[str, Any] = field(default_factory=dict)
    other_table: Path | None = None

    @property
    def table(self) -> Path:
        """Where the table of `device` lies."""
        return self.other_table or self.folder / TABLE

    def on(self, device: TargetDevice, tables: str) -> FinishedSearch:
        """This search asked about `device`: as it is where its table is that device's, else with a table of it.

        That is measured, taken from the folder `tables`, or the one that the device is, and copied into the run, anew
        where that folder has another one by now. A file that is named counts, whatever tables of a device of that name
        the run has.
        """
        own, name = self.folder / TABLE, device.key.key
        named = device.table(self.archs, tables).to_dict() if isinstance(device, TableDevice) else None
        known = LatencyTable.load(own) if own.exists() else None
        if known is not None and known.device == device.key and named in (None, known.to_dict()):
            return dataclasses.replace(self, device=device.of_run(own))
        counted = dataclasses.replace(self.counted, dtype=self.budget.dtype or device.key.dtype)
        path = self.folder / "tables" / f"{name if named is None else f'{name}-{digest(named)[:8]}'}.json"
        there = device.table_path(self.archs, tables)
        is_older = path.exists() and named is None and there.exists() and not _are_equal(there, path)
        if is_older:  # measured or imported anew
            log(f"{there} is another table than {path}, by which networks were derived before, and takes its place")
        if is_older or not path.exists():
            device.table(self.archs, tables).save(path)
        return dataclasses.replace(self, device=device.of_run(path), counted=counted, other_table=path)

    @property
    def margin(self) -> float | None:
        """Share that it kept free of its budget on latency, which networks measured near it may have decided; None
        where it had none, or does not say."""
        if not (self.folder / "result.json").exists():
            return None
        found = read_result(self.folder)
        asked, limit = found["asked_latency_ms"], found["limit_latency_ms"]
        return None if not asked or not limit else max(0.0, asked / limit - 1)

    @property
    def archs(self) -> SearchSpace:
        """The space of archs, which the table prices."""
        return self.space.architectures if isinstance(self.space, JointSpace) else self.space

    @classmethod
    def from_config(cls, folder: Path, config: Mapping[str, Any]) -> FinishedSearch:
        """The search in `folder` by its stored settings. Raises `ValueError` where they are not those of a search."""
        if not config.get("method"):
            raise ValueError(f"{folder}/config.yaml names no method: it is not the configuration of a search")
        names = ("space", "data", "device", "budget")  # cards, unless a program gave objects
        stored = [name for name in names if config.get(name) is None or isinstance(config[name], cards.PLAIN)]
        where = f"{folder}/config.yaml"
        settings = record(dict(config), {**dict.fromkeys(stored, dict), **SETTINGS}, where)
        record(settings["budget"], BUDGET, f"{where}: budget")
        method = cards.given(config["method"], "method")
        recipe: Recipe | None = cards.given(config["recipe"], "recipe") if config.get("recipe") else None
        elastic: ElasticRun | None = None
        if is_supernet(method):
            source = DataSource(config["data"])
            data = source.load(resolution_of(config["space"]) or source.resolution)
            space: SearchSpace = build_space(config["space"], data)
        else:
            recipe = cards.given(config["recipe"], "recipe")
            problem = Problem.from_config(config, recipe)
            space = problem.space
            known = dict(config.get("search", {}))
            known["batch"] = known.get("batch") or 1  # null where no search resolved it; nothing is proposed
            asked = cards.build({"_target_": CANDIDATES, **known}, "search", {})
            elastic = ElasticRun.of(folder, asked, problem.data)
        device = devices.given(config["device"])
        timed = (folder / TABLE).exists()
        device = device.of_run(folder / TABLE) if timed else device
        budget = BudgetRequest(
            tolerance=config["budget"].get("tolerance") or 0.0,
            **{name: config["budget"].get(name) for name in (*BUDGETS, "dtype", "in_place")},
        )
        return cls(
            folder,
            space,
            method,
            recipe,
            device if timed else None,
            config["data"],
            budget,
            settings["seed"] or 0,
            budget.counted(device.key.dtype),
            elastic,
            {name: config.get(name) for name in TEACHING},
        )


@dataclass(frozen=True)
class DeriveSetup:
    """Networks asked of `search`: `count`, within `budget` (none: its own), best first, written to `out`.

    `mode` and `use`: see `nas.derive.most_probable.derive`. `measure`: time them on this machine, where the table is of
    it. `seed`: of sampling and of the order of timings. Of searches whose candidates inherit, `candidates` more are
    scored, and the networks fine-tuned for `epochs`, by `teacher` too where there is one.
    """

    search: FinishedSearch
    budget: BudgetRequest
    mode: str | None
    count: int
    use: float
    measure: bool
    seed: int
    out: str | None
    candidates: int = 32
    epochs: int = 0
    teacher: Teacher | None = None

    def __post_init__(self) -> None:
        check_budget(self.budget.latency_ms)
        if self.epochs and self.search.elastic is None:
            raise ValueError(
                "train.epochs fine-tunes weights that are inherited, and this run has none: it is one of "
                "search.scorer=elastic that has; train its archs with python -m nas.train"
            )
        if self.epochs and self.search.recipe is not None:
            search_recipe(self.search.recipe, self.epochs, "train.epochs")
        if self.teacher is not None and not self.epochs:
            raise ValueError(
                f"teacher={self.teacher.name} teaches the fine-tuning of networks, and none is asked for: give "
                "train.epochs=N (to a run of search.scorer=elastic), or teach the archs with python -m nas.train"
            )

    @classmethod
    def from_config(cls, search: FinishedSearch, config: Mapping[str, Any]) -> DeriveSetup:
        """What the settings of `conf/derive.yaml` ask of `search`."""
        names = ("mode", "count", "use", "measure", "seed", "out")
        given = {name: config[name] for name in (*names, "candidates")}
        if config.get("device"):
            search = search.on(devices.given(config["device"]), config["tables"])
        elif search.device is not None and search.device.key.name != LOCAL:
            log(f"device: {search.device.key}, which {search.folder} was searched for; another one: device=...")
        epochs, asked = config["train"]["epochs"], {name: config[name] for name in TEACHING if config[name] is not None}
        teacher = _teacher(search.teaching, asked) if asked or epochs else None
        return cls(search, BudgetRequest(**config["budget"]), epochs=epochs, teacher=teacher, **given)


def _are_equal(one: Path, other: Path) -> bool:
    return LatencyTable.load(one).to_dict() == LatencyTable.load(other).to_dict()


def _teacher(own: Mapping[str, Any], asked: Mapping[str, Any]) -> Teacher | None:
    """Who teaches a fine-tuning: who is `asked` for, else who taught the search by its `own` settings."""
    if asked.get("teacher") == NO_TEACHER:
        teacher = Teacher.from_config({**asked, "teacher": None})
    else:
        teacher = Teacher.from_config({**own, **({"teacher_weights": None} if "teacher" in asked else {}), **asked})
    for name in set(asked) - {"teacher"} if teacher is None else ():
        raise ValueError(f"{name}={asked[name]} is of no teacher: give teacher=, or leave it out")
    return teacher
