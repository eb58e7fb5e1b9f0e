"""All that one search is told, in one frozen object."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.derive import most_probable
from nas.derive.budget import BudgetRequest, count_limits
from nas.derive.most_probable import Derivation
from nas.derive.settings import TABLE, check_budget
from nas.latency import devices
from nas.latency.devices import TargetDevice
from nas.methods.base import Method, is_supernet
from nas.methods.candidates.early_stopping import check_equal_lengths
from nas.methods.candidates.executors.base import Executor, at_a_time
from nas.methods.candidates.problem import Problem
from nas.methods.candidates.settings import CandidateSettings, usual_batch
from nas.methods.candidates.training_job import search_recipe
from nas.methods.elastic.places import ElasticPlan
from nas.methods.elastic.settings import Pretraining
from nas.runs.keeping.settings import BY_DEFAULT, Keeping
from nas.runs.watching.trackers import check_trackers
from nas.search.contest.plan import Plan, plan_of
from nas.search.contest.settings import ContestSettings, by_default
from nas.search.references.request import ReferenceRequest
from nas.search.settings import BestOf, Latency, check_latency
from nas.terminal.configuration import cards
from nas.train.accelerator import Compute
from nas.train.start.teacher import Teacher
from search_spaces.memory.counted import Counted
from search_spaces.pricing.budgets import Limit
from search_spaces.recipe import Recipe
from search_spaces.wrappers.joint import JointSpace

SETTINGS = "nas.methods.candidates.settings.CandidateSettings"


@dataclass(frozen=True)
class FinalTraining:
    """Whether the derived network is trained, and whether it may `inherit` the supernet's weights.

    `epochs` None: the recipe's, and none where the weights are an elastic supernet's. `evaluate_every`: epochs between
    two looks at the test images; 0: only at the end. `from_contest`: see `contest.plan`; older runs went on from there.
    """

    enabled: bool
    inherit: bool
    epochs: int | None = None
    evaluate_every: int = 0
    from_contest: bool = True


@dataclass(frozen=True)
class Paths:
    """`run_dir` (None: `runs/<time>-<space>-<method>`), `resume`: a run to continue; the folder of latency `tables`."""

    run_dir: str | None
    resume: str | None
    tables: str


@dataclass(frozen=True)
class SearchSetup:
    """A search: what is looked for (`problem`, `budget`), how (`method`, `recipe`...), where (`device`, `compute`).

    `latency`: whether the device is measured (`is_timed`). `candidates` and `executor` concern methods that train
    candidate by candidate. `teacher`: what all networks that are trained by themselves learn from besides labels.
    `method_name` names the run; `stored`: the settings as plain data, which its directory keeps. `trackers`: see
    `nas.runs.watching.trackers`. Raises `ValueError` for settings that contradict each other, before anything is begun.
    """

    problem: Problem
    method: Method
    method_name: str
    recipe: Recipe
    device: TargetDevice
    budget: BudgetRequest
    latency: Latency
    candidates: CandidateSettings
    executor: Executor
    derivation: Derivation
    contest: ContestSettings
    training: FinalTraining
    pretraining: Pretraining | None
    compute: Compute
    seed: int
    paths: Paths
    stored: Mapping[str, Any]
    references: ReferenceRequest = dataclasses.field(default_factory=ReferenceRequest)
    best_of: BestOf = "found"
    keeping: Keeping = BY_DEFAULT
    teacher: Teacher | None = None
    trackers: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SearchSetup:
        """The search that a resolved configuration (`conf/search.yaml`) describes. Objects may stand for its cards."""
        budget = BudgetRequest(**config["budget"])
        check_budget(budget.latency_ms)
        compute = Compute(config["accelerator"], config["precision"], bool(config.get("sync_batch_norm")))
        recipe = cards.given(config["recipe"], "recipe")
        problem = Problem.from_config(config, recipe)
        device, method = devices.given(config["device"]), cards.given(config["method"], "method")
        executor, asked = cards.given(config["executor"], "executor"), config["derive"]
        search = config["search"]
        if search["batch"] is None:  # kept with the run: other workers that resume it change nothing
            batch = usual_batch(at_a_time(executor), search["scorer"], search["stop_correlation"])
            config = {**config, "search": {**search, "batch": batch}}
        mode = most_probable.own_mode(method, asked["mode"])
        return cls(
            problem=problem,
            method=method,
            method_name=cards.module_name(config["method"]),
            recipe=recipe,
            device=device,
            budget=budget,
            latency=config["latency"],
            candidates=cards.build({"_target_": SETTINGS, **config["search"]}, "search", {}),
            executor=executor,
            derivation=Derivation(mode, asked["use"], asked["count"], budget.rounds, config["seed"]),
            contest=ContestSettings.from_config(asked),
            training=FinalTraining(**config["train"]),
            pretraining=cards.given(config["pretraining"], "pretraining") if config.get("pretraining") else None,
            compute=compute,
            seed=config["seed"],
            paths=Paths(config["run_dir"], config["resume"], config["tables"]),
            stored=cards.without_objects(config),
            references=ReferenceRequest.from_config(config.get("references"), problem.data),
            best_of=asked.get("best_of") or "found",
            keeping=Keeping.from_config(config),
            teacher=None if (asked_of := Teacher.from_config(config)) is None else asked_of.pinned(problem.data),
            trackers=check_trackers(config.get("trackers")),
        )

    def __post_init__(self) -> None:
        check_budget(self.budget.latency_ms)
        most_probable.check(self.derivation.mode, self.derivation.count, self.derivation.use)
        _ = self.is_timed
        search_recipe(self.recipe, self.training.epochs if self.final_epochs else None, "train.epochs")
        self._check_references()
        self._check_teacher()
        if not self.final_epochs and not (self.is_elastic and self.training.inherit):
            raise ValueError(
                "train.epochs=0 keeps the weights of an elastic supernet (search.scorer=elastic, train.inherit=true); "
                "train.enabled=false stops at the derived network"
            )
        if is_supernet(self.method):
            self.method.check(self.problem.space.architectures)
            self._check_supernet()
        else:
            self._check_elastic()
            recipes = self.trained_space.recipes
            if self.candidates.stop_correlation is not None:
                check_equal_lengths(recipes)
            self.candidates.check(self.problem.data)
        _ = self.counts
        if self.contestants:
            self.plan(self.contestants)
        if self.contestants or not is_supernet(self.method) or self.method.divides_training:
            self.problem.data.check_division()

    @functools.cached_property
    def is_timed(self) -> bool:
        """Whether the search needs the device's latency table, by `latency` and the budgets.

        `auto`: where a budget or a supernet's steering asks for it; `on`: always; `off`: never. Raises `ValueError`
        where `off` contradicts what is asked.
        """
        supernet, asked = is_supernet(self.method), self.budget
        check_latency(self.latency, dataclasses.asdict(asked), supernet)
        if self.latency == "off":
            return False
        by_default = asked.fraction is not None and not asked.others
        by_table = asked.latency_ms is not None or asked.energy_mj is not None
        return self.latency == "on" or supernet or by_table or by_default

    @functools.cached_property
    def counts(self) -> tuple[Limit, ...]:
        """The budgets on what an arch alone decides. Raises `ValueError` for those out of reach."""
        return tuple(count_limits(self.problem.space, self.budget, self.counted))

    @property
    def counted(self) -> Counted:
        """How memory and weights are counted: in the device's arithmetic, unless the budget says otherwise."""
        device, resumed = self.device, self.paths.resume
        if resumed is not None and (Path(resumed) / TABLE).exists():  # a run has its own copy of the table
            device = device.of_run(Path(resumed) / TABLE)
        return self.budget.counted(device.key.dtype)

    @functools.cached_property
    def trained_space(self) -> JointSpace:
        """The searched space with the recipes that candidates are trained by, perhaps for fewer epochs."""
        space = self.problem.space
        base = search_recipe(self.recipe, self.candidates.epochs)
        return JointSpace(space.architectures, dataclasses.replace(space.recipes, base=base))

    @property
    def is_elastic(self) -> bool:
        """Whether candidates inherit from an elastic supernet."""
        return self.candidates.scorer == "elastic" and not is_supernet(self.method)

    @property
    def final_epochs(self) -> int:
        """How long the derived network is trained; 0: it keeps the weights that it inherits."""
        if self.training.epochs is not None:
            return self.training.epochs
        return 0 if self.is_elastic and self.training.inherit else self.recipe.epochs

    def _check_references(self) -> None:
        """What references are compared by has to be there."""
        if self.references.train and not self.training.enabled:
            raise ValueError(
                "references.train=true trains them as the found network, and train.enabled=false trains none"
            )
        if self.best_of == "all" and not (self.references.train and self.references.families):
            raise ValueError("derive.best_of=all compares trained networks: add references.train=true, and name some")

    def _check_teacher(self) -> None:
        """A teacher that nothing would learn from is refused: supernets learn from labels alone."""
        trains = self.training.enabled and self.final_epochs > 0
        if self.teacher is not None and not trains and (is_supernet(self.method) or self.is_elastic):
            raise ValueError(
                f"teacher={self.teacher.name} teaches networks that are trained by themselves, and here none is: "
                "supernets learn from labels alone; give train.epochs=N, or leave teacher= out"
            )

    @functools.cached_property
    def contestants(self) -> int:
        """How many networks of the search take part in a contest; 0: there is none.

        Raises `ValueError` for a contest that is asked where nothing is trained, or a single network derived.
        """
        asked = self.contest.networks
        if asked == 0:
            return 0
        why = self.contest_hindrance
        if asked is None:
            images = round(len(self.problem.data.train) * self.candidates.validation_fraction)
            return 0 if why else by_default(self.final_epochs, images)
        if why:
            raise ValueError(
                f"derive.contest={asked} trains networks against each other, and {why}, or derive.contest=0"
            )
        return asked

    @property
    def contest_hindrance(self) -> str | None:
        """Why no contest can be held here, whatever is asked, and the way out; None where one can."""
        if not self.training.enabled:
            return "train.enabled=false trains nothing; leave that out"
        if self.final_epochs < 2:
            return f"a training of {self.final_epochs} epochs cannot be cut; give train.epochs"
        if is_supernet(self.method) and self.derivation.mode in most_probable.SINGLE:
            return f"derive.mode={self.derivation.mode} names a single network; give derive.mode=budget"
        return None

    @property
    def deriving(self) -> Derivation:
        """How networks are derived: as asked, or those of the contest, no near copies of each other."""
        if not self.contestants:
            return self.derivation
        count, distance = max(self.derivation.count, self.contestants), self.contest.distance(self._choices)
        return dataclasses.replace(self.derivation, count=count, distance=distance)

    @property
    def _choices(self) -> int:
        return len(self.problem.space.variables)

    def plan(self, found: int, others: int = 0) -> Plan:
        """The contest of so many networks of the search, and `others`."""
        return plan_of(self.contest, found + others, self.final_epochs, found, self.training.from_contest is not False)

    def _check_elastic(self) -> None:
        """An elastic supernet holds slices of one network, trained by one recipe."""
        if not self.is_elastic:
            return
        if self.problem.space.recipes.variables:
            raise ValueError("search.scorer=elastic trains no candidate, so it searches no recipes; recipe_space=none")
        if self.pretraining is None and self.candidates.supernet is None:
            raise ValueError("search.scorer=elastic needs pretraining=, a card of how its supernet is trained")
        ElasticPlan(self.problem.space.architectures)

    def _check_supernet(self) -> None:
        """A supernet is one set of weights under one recipe."""
        self.candidates.check_idle()
        if getattr(self.method, "compile", False) and self.compute.sync_batch_norm:
            raise ValueError("sync_batch_norm changes a step from outside, compile=true compiles it; give one of them")
        if self.problem.space.recipes.variables:
            raise ValueError("a supernet is trained by one recipe; search recipes with method=predictor, random or tpe")
