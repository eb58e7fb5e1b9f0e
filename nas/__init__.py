"""Neural architecture search that measures your device and meets your latency budget.

`run_search`, `derive_from`, `build_table`, `train_arch`, `evaluate_model` and `export_model` do what the commands do
(docs/python.md). Their keywords are the settings of the command, resolved by the same code; see
`nas.terminal.python_settings` for what stands for a card: its name, a mapping, or an object of the program's own. Bad
input is a `ValueError` or `OSError` of one line, and Ctrl-C passes as `KeyboardInterrupt`, leaving a run that `resume=`
continues.

`create_model` makes a network from a published name, an arch file or a model folder. After `import nas`, timm knows
such networks too: `timm.create_model("nas_net", arch=...)`, `timm.create_model("local-dir:<model folder>")`.

The functions import what they need when they are called: torch takes seconds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from nas.networks.with_timm import register_with_timm

if TYPE_CHECKING:
    from nas.derive.request import DerivedNetworks
    from nas.evaluate.run import EvaluateOutcome
    from nas.latency.tables.table import LatencyTable
    from nas.methods.base import Method
    from nas.networks.creation import create_model
    from nas.search.result import SearchOutcome
    from nas.search.scores.search import LookedUp
    from nas.search.scores.table import ScoredTable
    from nas.terminal.keywords import (
        DeriveKeywords,
        EvaluateKeywords,
        ExportKeywords,
        SearchKeywords,
        TableKeywords,
        TrainKeywords,
    )
    from nas.train.run import TrainOutcome
    from search_spaces.arch import Arch

    Model = str | Path | Arch | SearchOutcome | TrainOutcome
    """A model folder, a run directory or arch file, a published name, an arch, or what a search or training gave."""

    __version__: str
    """That of the installed package."""

__all__ = [
    "__version__",
    "build_table",
    "create_model",
    "derive_from",
    "evaluate_model",
    "export_model",
    "read_scores",
    "run_search",
    "search_scores",
    "train_arch",
]


def run_search(**keywords: Unpack[SearchKeywords]) -> SearchOutcome:
    """Search a space for a device and a budget; derive a network, train and evaluate it, as `nas.search` does.

    `latency_ms`, `fraction`, `macs` and `params` are short for those of `budget`. The outcome has the `arch`, the
    trained `network` (None with `train={"enabled": False}`), the `result` (the content of `result.json`), the
    `run_dir`, and the budgets it `missed`. Raises `ValueError` or `OSError` for a setting that cannot be, a budget that
    no network meets (with the range that is within reach), and data that cannot be read.
    """
    from nas.search.run import run_search as search
    from nas.search.settings import TYPES
    from nas.search.setup import SearchSetup
    from nas.terminal.launch import check_alone
    from nas.terminal.python_settings import resolved

    check_alone("nas.run_search", "nas.search")
    return search(SearchSetup.from_config(resolved("search", _budgeted(keywords), TYPES)))


def derive_from(search: SearchOutcome | str | Path, **keywords: Unpack[DeriveKeywords]) -> DerivedNetworks:
    """Networks under another budget from a finished search, or from its run directory, as `nas.derive` does.

    Without a budget the search's own holds. Of a directory whose search used code of your own, give that again:
    `space=`, `data=`, `method=`... The outcome has the `archs`, best first, their `recipes` and `records`, the folder
    `out` and the budgets `missed`. Raises `ValueError` for a run that is not finished or damaged, and for a budget
    out of reach.
    """
    from nas.derive.run import run_derivation
    from nas.derive.settings import TYPES
    from nas.derive.setup import DeriveSetup, FinishedSearch
    from nas.search.result import SearchOutcome
    from nas.terminal.python_settings import resolved, stored_settings

    if not isinstance(search, SearchOutcome | str | os.PathLike):
        raise ValueError(f"a search is what run_search gave back, or its run directory, got {type(search).__name__}")
    folder = Path(search.run_dir if isinstance(search, SearchOutcome) else search)
    asked = resolved("derive", _budgeted({**keywords, "run": str(folder)}), TYPES)
    if isinstance(search, SearchOutcome):
        finished = search.finished()
    else:
        finished = FinishedSearch.from_config(folder, stored_settings(folder, asked))
    return run_derivation(DeriveSetup.from_config(finished, asked))


def build_table(**keywords: Unpack[TableKeywords]) -> LatencyTable:
    """The latency table of a space on a device, as `nas.latency` builds it: that in `tables`, or one measured now.

    Its `cost(space)` prices genotypes in milliseconds, its `proof` says how far whole networks are from it. Raises
    `ValueError` where the device cannot measure what is asked.
    """
    from nas.latency.setup import TYPES, TableSetup
    from nas.terminal.python_settings import resolved

    return TableSetup.from_config(resolved("latency", keywords, TYPES)).build()


def evaluate_model(model: Model, **keywords: Unpack[EvaluateKeywords]) -> EvaluateOutcome:
    """Accuracy of a model folder, a run or an outcome, and its latency, as `nas.evaluate` measures them.

    `checkpoint`: weights for what has none of its own, such as an arch. The outcome has the `result` and the `run_dir`.
    Raises `ValueError` for weights that do not fit, and for data of other classes or channels.
    """
    from nas.evaluate.run import EvaluateSetup, run_evaluation
    from nas.evaluate.settings import TYPES
    from nas.terminal.python_settings import keys_given, resolved
    from nas.terminal.reached_devices import with_device_of_run

    settings = {**keywords, "arch": _model(model)}
    config = with_device_of_run(resolved("evaluate", settings, TYPES), keys_given(settings))
    return run_evaluation(EvaluateSetup.from_config(config))


def export_model(model: Model, **keywords: Unpack[ExportKeywords]) -> dict[str, Any]:
    """Write a model as a file for a runtime, checked against torch and timed, as `nas.export` does; its report.

    See `nas.export.exporting.export` for what the report holds. Raises `ValueError` where the file does not compute
    what torch does, and where the format's package is missing; no file is left then.
    """
    from nas.export.run import ExportSetup, run_export
    from nas.export.settings import TYPES
    from nas.terminal.python_settings import keys_given, resolved
    from nas.terminal.reached_devices import with_device_of_run

    settings = {**keywords, "arch": _model(model)}
    config = with_device_of_run(resolved("export", settings, TYPES), keys_given(settings))
    return run_export(ExportSetup.from_config(config))


def read_scores(
    file: str | Path, score: str, costs: Sequence[str] = (), recipe: Sequence[str] = (), minimise: bool = False
) -> ScoredTable:
    """A table of choices and scores of your own, in the CSV file `file`, as something that methods can search.

    See `nas.search.scores.table.read_scores` for what its columns are; `search_scores` searches it.
    """
    from nas.search.scores import table

    return table.read_scores(file, score, costs, recipe, minimise)


def search_scores(
    table: ScoredTable,
    method: str | Mapping[str, Any] | Method = "predictor",
    evaluations: int = 50,
    limits: Mapping[str, float] | None = None,
    batch: int = 1,
    seed: int = 0,
) -> LookedUp:
    """What `method` finds in `table` with so many `evaluations`, proposed `batch` at a time; nothing is trained.

    `limits`: the most that costs of the table may be, by name (`{"latency_ms": 3.0}`). `method`
    as `run_search` takes it. The outcome has the `best` choices, their `score`, and `best_so_far` and `regret` after
    each trial. Raises `ValueError` for a limit that no point meets and for methods that train supernets.
    """
    from nas.search.scores import search
    from nas.search.settings import TYPES
    from nas.terminal.configuration import cards
    from nas.terminal.python_settings import resolved

    known = {"space": "fbnetv3", "method": method}  # a space that all of them take
    chosen = cards.given(resolved("search", known, TYPES)["method"], "method")
    return search.search_scores(table, chosen, evaluations, limits, batch, seed)


def train_arch(arch: str | Path | Arch | None = None, **keywords: Unpack[TrainKeywords]) -> TrainOutcome:
    """Train an arch, given as such, by its file or by a published name, as `nas.train` does.

    `arch` None: that of the run to `resume`. The outcome has the trained `network`, its `arch` (fitted to the data),
    the `result` and the `run_dir`, whose `model` folder `nas.create_model` reads. Raises `ValueError` for an arch that
    cannot be read, and for a loss or weights that are not finite.
    """
    from nas.report.run_page import write_report
    from nas.terminal.python_settings import resolved
    from nas.train.run import run_training
    from nas.train.settings import TYPES
    from nas.train.setup import TrainSetup

    outcome = run_training(TrainSetup.from_config(resolved("train", {**keywords, "arch": arch}, TYPES)))
    if outcome.setup.compute.here.is_main_process:
        write_report(outcome.run_dir)
    return outcome


def _model(model: Model) -> str | Path | Arch:
    from nas.search.result import SearchOutcome
    from nas.train.run import TrainOutcome

    return model.run_dir / "model" if isinstance(model, SearchOutcome | TrainOutcome) else model


def _budgeted(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """`keywords` with the short forms of budgets where they belong. Raises `ValueError` for one given in both."""
    from nas.derive.setup import BUDGETS

    short = {key: keywords[key] for key in BUDGETS if keywords.get(key) is not None}
    rest = {key: value for key, value in keywords.items() if key not in BUDGETS}
    if not short:
        return rest
    budget = {} if (given := rest.get("budget")) is None else given
    if not isinstance(budget, Mapping):
        raise ValueError(f"budget must be a mapping of settings, got {budget!r}")
    for key, value in short.items():
        if budget.get(key) not in (None, value):
            raise ValueError(f"{key}={value} contradicts budget={{'{key}': {budget[key]}}}; leave out one of them")
    return rest | {"budget": {**budget, **short}}


def __getattr__(name: str) -> Any:
    if name == "create_model":
        from nas.networks.creation import create_model

        return create_model
    if name == "__version__":
        from importlib.metadata import version

        return version("nas-under-budget")
    raise AttributeError(f"module 'nas' has no attribute {name!r}")


register_with_timm()
