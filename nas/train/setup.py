"""All that one training is told, in one frozen object."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nas.data import ImageData
from nas.data.card import DataSource
from nas.networks.creation import resolve
from nas.runs.keeping.settings import BY_DEFAULT, Keeping
from nas.runs.watching.trackers import check_trackers
from nas.terminal.configuration import cards
from nas.train.accelerator import Compute
from nas.train.distillation import Distillation
from nas.train.loop.rounding import QUANTIZE
from nas.train.start.teacher import Teacher, distillation_of
from nas.train.start.tuning import NOTHING_TUNED, Tuning
from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe


@dataclass(frozen=True)
class TrainSetup:
    """A training of `given`, called `name`, fitted to `data` and by `recipe`.

    `initial_weights`: a file (None: from scratch). Batches are taken in `accumulate` pieces (`auto`: the fewest that
    fit into memory). `tuning`: which weights learn and how fast; `quantize`: what they are rounded to meanwhile;
    `compile`: whether steps are compiled (see `nas.train.options`). The test split is looked at every `evaluate_every`
    epochs (0: at the end). `run_dir` None: `runs/<time>-train-<name>`; `resume`: a run to continue. `stored`: the
    settings as plain data. `trackers`: see `nas.runs.watching.trackers`.
    """

    name: str
    given: Arch
    data: ImageData
    source: DataSource
    recipe: Recipe
    initial_weights: str | None
    evaluate_every: int
    seed: int
    compute: Compute
    run_dir: str | None
    resume: str | None
    stored: Mapping[str, Any]
    keeping: Keeping = BY_DEFAULT
    distillation: Distillation | None = None
    accumulate: int | Literal["auto"] = 1
    tuning: Tuning = NOTHING_TUNED
    quantize: str | None = None
    compile: bool = False
    trackers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.quantize not in (None, *QUANTIZE):
            raise ValueError(f"unknown quantize {self.quantize!r}; one of null, {', '.join(QUANTIZE)}")
        if self.evaluate_every < 0:
            raise ValueError(f"evaluate_every must be 0 or greater, got {self.evaluate_every}")
        if self.accumulate == "auto" and self.compute.here.num_processes > 1:
            raise ValueError(
                "accumulate=auto looks at the memory of one process; of several, give the number of pieces"
            )
        for name, given in (("quantize", self.quantize), ("sync_batch_norm", self.compute.sync_batch_norm)):
            if self.compile and given:
                raise ValueError(f"{name} changes a step from outside, and compile=true compiles it; give one of them")

    @property
    def arch(self) -> Arch:
        """The network for the images and classes of the data; its layers stay as they are given."""
        fit = dataclasses.replace(self.given, resolution=self.data.resolution, in_channels=self.data.in_channels)
        return fit.with_classes(self.data.num_classes)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TrainSetup:
        """The training that a resolved configuration (`conf/train.yaml`) describes."""
        if config["evaluate_every"] < 0:
            raise ValueError(f"evaluate_every must be 0 or greater, got {config['evaluate_every']}")
        compute = Compute(config["accelerator"], config["precision"], bool(config.get("sync_batch_norm")))
        recipe = cards.given(config["recipe"], "recipe")
        name, resume = config["arch"], config["resume"]
        stored = Path(resume) / "arch.json" if resume else None
        given = resolve(stored if stored is not None and stored.exists() else name).arch
        source = DataSource(config["data"])
        data = source.load(None if is_published_name(name) else given.resolution)
        return cls(
            name=name,
            given=given,
            data=data,
            source=source,
            recipe=recipe,
            initial_weights=config["initial_weights"],
            evaluate_every=config["evaluate_every"],
            seed=config["seed"],
            compute=compute,
            run_dir=config["run_dir"],
            resume=resume,
            stored=cards.without_objects(config),
            keeping=Keeping.from_config(config),
            distillation=distillation_of(Teacher.from_config(config), data),
            accumulate=config.get("accumulate") or 1,
            tuning=Tuning.of(config.get("freeze"), config.get("layer_decay")),
            quantize=config.get("quantize"),
            compile=bool(config.get("compile")),
            trackers=check_trackers(config.get("trackers")),
        )


def is_published_name(arch: str) -> bool:
    """Whether `arch` names a published network rather than a file or folder."""
    return arch.partition(".")[0] in zoo.FAMILY_OF and not Path(arch).exists()


def short_name(arch: str) -> str:
    """What a run directory is called after `arch`: a published name, the name of the file or its folder, or an id."""
    if arch.lstrip().startswith("{"):
        return Arch.from_json(arch).id
    path = Path(arch)
    return path.name if path.suffix != ".json" else (path.stem if path.stem != "arch" else path.resolve().parent.name)
