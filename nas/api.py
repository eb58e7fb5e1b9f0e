"""What the commands do, as functions of a program: `nas.run_search`, `nas.derive_from`, `nas.train_arch`.

Keywords are the settings of the command of the same purpose, and resolved by the same code; see
`nas.terminal.python_settings` for what stands for a card: its name, a mapping, or an object of the program's own.
Bad input is a `ValueError` or `OSError` of one line, and Ctrl-C passes as `KeyboardInterrupt`, leaving a run that
`resume=` continues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from nas.derive.request import DerivedNetworks
from nas.derive.run import run_derivation
from nas.derive.settings import TYPES as DERIVE_TYPES
from nas.derive.setup import BUDGETS, DeriveSetup, FinishedSearch
from nas.evaluate.run import EvaluateOutcome, EvaluateSetup, run_evaluation
from nas.evaluate.settings import TYPES as EVALUATE_TYPES
from nas.export.run import ExportSetup, run_export
from nas.export.settings import TYPES as EXPORT_TYPES
from nas.latency.setup import TYPES as TABLE_TYPES
from nas.latency.setup import TableSetup
from nas.latency.tables.table import LatencyTable
from nas.search.result import SearchOutcome
from nas.search.run import run_search as search_by
from nas.search.settings import TYPES as SEARCH_TYPES
from nas.search.setup import SearchSetup
from nas.terminal.python_settings import resolved, stored_settings
from nas.train.run import TrainOutcome, run_training
from nas.train.settings import TYPES as TRAIN_TYPES
from nas.train.setup import TrainSetup
from search_spaces.arch import Arch


class SearchKeywords(TypedDict, total=False):
    """Keywords of `run_search`; `conf/search.yaml` explains each. Those of type Any are cards."""

    space: Any
    data: Any
    device: Any
    method: Any
    recipe: Any
    recipe_space: Any
    predictor: Any
    engine: Any
    experiment: str
    latency_ms: float
    fraction: float
    macs: int
    params: int
    budget: Mapping[str, Any]
    latency: str
    arch: str | Path | Arch
    search: Mapping[str, Any]
    derive: Mapping[str, Any]
    train: Mapping[str, Any]
    tables: str | Path
    seed: int
    accelerator: str
    precision: str
    run_dir: str | Path
    resume: str | Path
    overrides: Sequence[str]


class DeriveKeywords(TypedDict, total=False):
    """Keywords of `derive_from`; `conf/derive.yaml` explains each. Cards are those of code of your own."""

    latency_ms: float
    fraction: float
    macs: int
    params: int
    budget: Mapping[str, Any]
    how: str
    count: int
    use: float
    measure: bool
    seed: int
    out: str | Path
    space: Any
    data: Any
    method: Any
    predictor: Any
    recipe: Any
    recipe_space: Any
    device: Any
    engine: Any
    overrides: Sequence[str]


class TableKeywords(TypedDict, total=False):
    """Keywords of `build_table`; `conf/latency.yaml` explains each."""

    space: Any
    device: Any
    tables: str | Path
    effort: Mapping[str, Any]
    seed: int
    refresh: bool
    pin: bool
    overrides: Sequence[str]


class TrainKeywords(TypedDict, total=False):
    """Keywords of `train_arch`; `conf/train.yaml` explains each."""

    data: Any
    recipe: Any
    initial_weights: str | Path
    evaluate_every: int
    seed: int
    accelerator: str
    precision: str
    run_dir: str | Path
    resume: str | Path
    overrides: Sequence[str]


class EvaluateKeywords(TypedDict, total=False):
    """Keywords of `evaluate_model`; `conf/evaluate.yaml` explains each."""

    data: Any
    device: Any
    checkpoint: str | Path
    batch_size: int
    measure: bool
    seed: int
    accelerator: str
    precision: str
    run_dir: str | Path
    overrides: Sequence[str]


class ExportKeywords(TypedDict, total=False):
    """Keywords of `export_model`; `conf/export.yaml` explains each."""

    data: Any
    device: Any
    checkpoint: str | Path
    format: str
    output: str | Path
    batch_size: int
    tolerance: float
    measure: bool
    seed: int
    overrides: Sequence[str]


Model = str | Path | Arch | SearchOutcome | TrainOutcome
"""A model folder, a run directory or arch file, a published name, an arch, or what a search or training gave."""


def run_search(**keywords: Unpack[SearchKeywords]) -> SearchOutcome:
    """Search a space for a device and a budget; derive a network, train and evaluate it, as `nas.search` does.

    `latency_ms`, `fraction`, `macs` and `params` are short for those of `budget`. The outcome has the `arch`, the
    trained `network` (None with `train={"enabled": False}`), the `result` (the content of `result.json`), the
    `run_dir`, and the budgets it `missed`.
    """
    return search_by(SearchSetup.from_config(resolved("search", _budgeted(keywords), SEARCH_TYPES)))


def derive_from(search: SearchOutcome | str | Path, **keywords: Unpack[DeriveKeywords]) -> DerivedNetworks:
    """Networks under another budget from a finished search, or from its run directory, as `nas.derive` does.

    Without a budget the search's own holds. Of a directory whose search used code of your own, give that again:
    `space=`, `data=`, `method=`...
    """
    folder = Path(search.run_dir if isinstance(search, SearchOutcome) else search)
    asked = resolved("derive", _budgeted({**keywords, "run": str(folder)}), DERIVE_TYPES)
    if isinstance(search, SearchOutcome):
        finished = finished_search(search)
    else:
        finished = FinishedSearch.from_config(folder, stored_settings(folder, asked))
    return run_derivation(DeriveSetup.from_config(finished, asked))


def finished_search(outcome: SearchOutcome) -> FinishedSearch:
    """The search of `outcome`, with the very objects that it used."""
    setup, space = outcome.setup, outcome.setup.problem.space
    return FinishedSearch(
        folder=outcome.run_dir,
        space=space,
        method=setup.method,
        recipe=setup.recipe,
        device=outcome.prices.device,
        data=setup.problem.source.card,
        budget=setup.budget,
        seed=setup.seed,
    )


def build_table(**keywords: Unpack[TableKeywords]) -> LatencyTable:
    """The latency table of a space on a device, as `nas.latency` builds it: that in `tables`, or one measured now.

    Its `cost(space)` prices genotypes, its `proof` says how far whole networks are from it.
    """
    return TableSetup.from_config(resolved("latency", keywords, TABLE_TYPES)).build()


def evaluate_model(model: Model, **keywords: Unpack[EvaluateKeywords]) -> EvaluateOutcome:
    """Accuracy of a model folder, a run or an outcome, and its latency, as `nas.evaluate` measures them.

    `checkpoint`: weights for what has none of its own, such as an arch. The outcome has the `result` and the `run_dir`.
    """
    settings = {**keywords, "arch": _model(model)}
    return run_evaluation(EvaluateSetup.from_config(resolved("evaluate", settings, EVALUATE_TYPES)))


def export_model(model: Model, **keywords: Unpack[ExportKeywords]) -> dict[str, Any]:
    """Write a model as a file for a runtime, checked against torch and timed, as `nas.export` does; its report.

    See `nas.export.exporting.export` for what the report holds.
    """
    return run_export(ExportSetup.from_config(resolved("export", {**keywords, "arch": _model(model)}, EXPORT_TYPES)))


def train_arch(arch: str | Path | Arch | None = None, **keywords: Unpack[TrainKeywords]) -> TrainOutcome:
    """Train an arch, given as such, by its file or by a published name, as `nas.train` does.

    `arch` None: that of the run to `resume`. The outcome has the trained `network`, its `arch` (fitted to the data),
    the `result` and the `run_dir`, whose `model` folder `nas.create_model` reads.
    """
    return run_training(TrainSetup.from_config(resolved("train", {**keywords, "arch": arch}, TRAIN_TYPES)))


def _model(model: Model) -> str | Path | Arch:
    return model.run_dir / "model" if isinstance(model, SearchOutcome | TrainOutcome) else model


def _budgeted(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """`keywords` with the short forms of budgets where they belong."""
    short = {key: keywords[key] for key in BUDGETS if keywords.get(key) is not None}
    rest = {key: value for key, value in keywords.items() if key not in BUDGETS}
    return rest | ({"budget": {**rest.get("budget", {}), **short}} if short else {})
