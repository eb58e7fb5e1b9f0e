"""How many candidates a search trains, how many at a time, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nas.data import ImageData
from nas.methods.candidates.image_job import with_fewer
from nas.methods.candidates.storage import check_storage
from predictors.early_stopping import FEWEST

FINALISTS = 4  # at most, where nothing is said


def in_rounds(scorer: str, stop_correlation: float | None) -> bool:
    """Whether candidates are proposed a whole batch at a time (see `CandidateSettings.stride`)."""
    return scorer == "elastic" or stop_correlation is not None


def usual_batch(workers: int, scorer: str, stop_correlation: float | None) -> int:
    """As many candidates as `workers` train at a time; proposed one by one half as many more, which those train that
    would wait for the slowest (experiments/search_small_budgets)."""
    return workers if in_rounds(scorer, stop_correlation) else workers + workers // 2


@dataclass(frozen=True)
class CandidateSettings:
    """`trials` candidates are trained, of which `batch` at a time are proposed and not told; where the method has a
    predictor, the last `finalists` of them are those that it ranks first (None: an eighth of the trials, `FINALISTS` at
    most; never more than half of the trials). `epochs`: of a candidate's training (None: the recipe's).
    `validation_fraction` of the training images score it; it trains on `images` of the others (None: all of them). A
    failed one is tried `attempts` times in all. `storage`: an Optuna storage URL (None: `trials.db` in the run
    directory); `study`: its name there (None: one of its own). `stop_correlation`: see `early_stopping` (None: all
    train in full). `scorer`: see `scorers`; `supernet`: the run whose elastic one scores (None: this one);
    `statistics`: images of batch-norm statistics at most.
    """

    trials: int
    batch: int
    finalists: int | None
    epochs: int | None
    validation_fraction: float
    attempts: int
    storage: str | None
    study: str | None
    stop_correlation: float | None = None
    scorer: Literal["training", "elastic"] = "training"
    supernet: str | None = None
    statistics: int = 2048
    images: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("batch", 1), ("epochs", 1), ("finalists", 0), ("images", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"search.{name} must be >= {least}, got {value}")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"search.validation_fraction must lie between 0 and 1, got {self.validation_fraction}")
        if self.statistics < 1:
            raise ValueError(f"search.statistics must be >= 1, got {self.statistics}")
        if self.scorer != "elastic" and self.supernet is not None:
            raise ValueError("search.supernet is a run whose supernet scores candidates: add search.scorer=elastic")
        if self.scorer == "elastic" and self.images is not None:
            raise ValueError("search.images are what a candidate trains on, and search.scorer=elastic trains none")
        if self.scorer == "elastic" and self.stop_correlation is not None:
            raise ValueError("search.stop_correlation stops trainings early, and search.scorer=elastic has none")
        if self.stop_correlation is not None:
            if not 0 < self.stop_correlation <= 1:
                raise ValueError(
                    f"search.stop_correlation must be above 0 and at most 1, got {self.stop_correlation:g}"
                )
            if self.trials <= FEWEST:
                raise ValueError(
                    f"search.stop_correlation needs a first batch of {FEWEST} trained in full and others after it: "
                    f"search.trials must be > {FEWEST}, got {self.trials}"
                )

    def check(self, data: ImageData) -> None:
        """Raise `ValueError` where candidates cannot be scored by `data`, or not be kept in `storage`."""
        if self.images is not None:
            with_fewer(data.held_out(1 - self.validation_fraction, 0), self.images)
        if self.storage is not None:
            check_storage(self.storage)

    def check_idle(self) -> None:
        """Raise `ValueError` for what a method that trains a supernet of its own cannot mean."""
        others = "take method=predictor, random, regularized_evolution, tpe or nsga2"
        if self.scorer == "elastic":
            raise ValueError(
                "search.scorer=elastic scores the candidates of a method that proposes them; this one trains a "
                f"supernet of its own: {others}"
            )
        if self.images is not None:
            raise ValueError(
                f"search.images are what candidates train on, and this method trains a supernet instead: {others}"
            )

    @property
    def stride(self) -> int:
        """How many are proposed at a time: one whenever one is told, as trainings differ in length. Where they do not
        (a supernet scores) or are cut short together, a whole batch when all before it are told."""
        return self.batch if in_rounds(self.scorer, self.stop_correlation) else 1

    def last(self, total: int) -> int:
        """How many finalists are among `total` trials of a method that has some."""
        asked = min(FINALISTS, total // 8) if self.finalists is None else self.finalists
        return min(asked, total // 2)
