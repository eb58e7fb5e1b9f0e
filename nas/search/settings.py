"""Types and ranges of the settings in `conf/search.yaml` that stand beside its cards, and what a search is refused for
before torch and data, which take seconds, are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from nas.data.card import check_root, known_resolution
from nas.data.space import check_card as check_space
from nas.derive.settings import BUDGET_TYPES, Mode, check_budgets
from nas.latency.devices import check_card as check_device
from nas.methods.base import is_supernet
from nas.networks.location import check_teacher, locate
from nas.runs.keeping.settings import KEEPING_TYPES
from nas.runs.watching.trackers import check_trackers
from nas.search.references.request import check_names
from nas.terminal.configuration import cards
from nas.train.settings import COMPUTE_TYPES, TEACHER_TYPES
from search_spaces.plain_data.annotations import Range

Latency = Literal["auto", "on", "off"]  # see SearchSetup.is_timed
BestOf = Literal["found", "all"]  # of these the network that is handed over
Scorer = Literal["training", "elastic"]  # see nas.methods.candidates.scorers
TYPES: dict[str, Any] = {
    "seed": int,
    **BUDGET_TYPES,
    "latency": Latency,
    "derive.mode": Mode | None,
    "derive.count": (int, 1),
    "derive.use": (float, 0, 1),
    "derive.best_of": BestOf | None,  # as the next ones, None in runs from before there were references
    "references.names": list[str] | None,
    "references.train": bool | Literal["auto"] | None,
    "references.start": bool | None,
    "derive.contest": (int | None, 0),
    "derive.reduction": (int | None, 2),
    "derive.rungs": list[int] | None,
    "derive.apart": (float | None, 0, 1),
    "train.enabled": bool,
    "train.inherit": bool,
    "train.epochs": (int | None, 0),
    "train.evaluate_every": (int | None, 0),  # None, as the next, in runs from before it could be said
    "train.from_contest": bool | None,
    "search.trials": (int, 1),
    "search.batch": (int | None, 1),
    "search.finalists": (int | None, 0),
    "search.epochs": (int | None, 1),
    "search.images": (int | None, 1),
    "search.scorer": Scorer,
    "search.supernet": str | None,
    "search.statistics": (int, 1),
    "search.validation_fraction": Annotated[float, Range(0, 1, above=True, below=True)],
    "search.attempts": (int, 1),
    "search.stop_correlation": (float | None, 0, 1),
    "tables": str,
    "arch": str | None,
    "sync_batch_norm": bool | None,
    **TEACHER_TYPES,
    **COMPUTE_TYPES,
    "trackers": list[str] | None,
    **KEEPING_TYPES,
}


def check_latency(latency: Latency, budget: Mapping[str, Any], is_steered: bool) -> None:
    """Raise `ValueError` where `latency=off` contradicts a `budget`, or a method that is steered by latency."""
    if latency != "off":
        return
    for name in ("latency_ms", "energy_mj"):
        if budget.get(name) is not None:
            raise ValueError(f"latency=off leaves nothing to hold budget.{name} by; leave one of the two out")
    if is_steered:
        raise ValueError("latency=off: this method is steered by the latency table; use method=predictor or random")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse budgets, files, and of a new search cards, that cannot be. Raises `ValueError` with the fix."""
    check_budgets(settings.get("budget"))
    check_root(settings.get("data"))
    check_teacher(settings.get("teacher"), settings.get("teacher_weights"))
    check_trackers(settings.get("trackers"))
    _check_storage(settings["search"]["storage"])
    if not settings["resume"]:  # a run holds its own
        _check_cards(settings)


def _check_storage(url: str | None) -> None:
    """Refuse what is no URL of a database; `nas.methods.candidates.storage` sees later whether it can be opened."""
    if url is None:
        return
    import sqlalchemy  # here: a quarter of a second

    try:
        sqlalchemy.engine.make_url(url).get_dialect()
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"search.storage={url!r} cannot be opened: {reason}; give for instance sqlite:///trials.db"
        ) from None


def _check_cards(settings: Mapping[str, Any]) -> None:
    """Refuse a device, references or a space that cannot be, and a space that the method cannot search."""
    check_device(settings["device"], measured=settings["latency"] != "off")
    check_names(settings["references"]["names"] or ())
    trials, finalists = settings["search"]["trials"], settings["search"]["finalists"]
    if finalists is not None and finalists > trials // 2:
        raise ValueError(
            f"search.finalists={finalists} is more than half of search.trials={trials}, whose others teach "
            f"the predictor; at most {trials // 2}"
        )
    if settings["arch"]:
        locate(settings["arch"])
        return
    accept = None
    if str(settings["method"]["_target_"]).startswith("nas."):
        method = cards.build(settings["method"], "method", {})
        check_latency(settings["latency"], settings["budget"], is_supernet(method))
        accept = method.check if is_supernet(method) else None
    check_space(settings["space"], known_resolution(settings["data"]), accept)
