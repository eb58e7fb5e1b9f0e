"""Trackers of experiments (wandb, mlflow, trackio, aim...), which get the figures of a run as they are recorded.

Accelerate knows how each is spoken to; its packages, accounts and addresses are the user's. TensorBoard's files are
always written (`nas.runs.metrics`).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.terminal.progress import log

PROJECT = "nas"  # of trackers that group runs by project
ALWAYS = "tensorboard"
# Accelerate's, and what is installed for each; listed here since Accelerate's own list takes torch to read.
PACKAGES = {
    **{name: name for name in ("aim", "clearml", "dvclive", "mlflow", "swanlab", "trackio", "wandb", ALWAYS)},
    "comet_ml": "comet-ml",
}
RUN_NAMED = {"wandb": ("name",), "trackio": ("name",), "mlflow": ("run_name",), "swanlab": ("experiment_name",)}


def check_trackers(names: Sequence[str] | None) -> tuple[str, ...]:
    """`names` without doubles; none for None. Raises `ValueError` for one that is unknown or not installed."""
    for name in names or ():
        if name in _registered():
            continue
        if name not in PACKAGES:
            raise ValueError(f"trackers: there is none called {name!r}; there are {', '.join(sorted(PACKAGES))}")
        if name != ALWAYS and importlib.util.find_spec(name) is None:
            raise ValueError(f"trackers: {name} is not installed; pip install {PACKAGES[name]}, or leave it out")
    return tuple(dict.fromkeys(name for name in names or () if name != ALWAYS))


class Trackers:
    """The trackers called `names` of the run in `folder`, told its `settings` once.

    One that raises is left out from then on, and that is said: a run of hours does not end with its spectators.
    """

    def __init__(self, names: Sequence[str], folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder, self.settings = folder, settings
        self.open: dict[str, Any] = {}
        self.records = 0
        for name in names:
            self._try(name, self._begin)

    def log(self, record: Mapping[str, Any]) -> None:
        """Send the figures of `record` as `<phase>/<name>`; steps count records: some trackers take no step twice."""
        shown = {f"{record['phase']}/{name}": value for name, value in record.items() if _is_figure(name, value)}
        for name in list(self.open):
            self._try(name, lambda name: self.open[name].log(shown, step=self.records))
        self.records += 1

    def close(self) -> None:
        """End them."""
        for name in list(self.open):
            self._try(name, lambda name: self.open.pop(name).finish())

    def _begin(self, name: str) -> None:
        kind = _class_of(name)
        where = [str(self.folder)] if kind.requires_logging_directory else []
        called = {key: self.folder.name for key in RUN_NAMED.get(name, ())}
        tracker = kind(PROJECT, *where, **called)
        if hasattr(tracker, "start"):  # of Accelerate's releases before 1.11 the constructor does it
            tracker.start()
        tracker.store_init_configuration({"run": str(self.folder), **flat(self.settings)})
        self.open[name] = tracker

    def _try(self, name: str, act: Any) -> None:
        try:
            act(name)
        except Exception as error:
            self.open.pop(name, None)
            first = str(error).partition("\n")[0] or type(error).__name__
            log(f"tracker {name} is left out from here on: {first}")


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """`settings` without nesting: `{"a": {"b": 1}}` as `{"a.b": 1}`; lists, which some trackers refuse, as text."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = (
                value if value is None or isinstance(value, bool | int | float | str) else str(value)
            )
    return {key: value for key, value in found.items() if value is not None}


def _registered() -> set[str]:
    """The trackers that a program has added to Accelerate's, for which it has imported that."""
    if "accelerate.tracking" not in sys.modules:
        return set()
    known = sys.modules["accelerate.tracking"].LOGGER_TYPE_TO_CLASS
    return {str(getattr(name, "value", name)) for name in known} - PACKAGES.keys()


def _class_of(name: str) -> Any:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    return next(kind for known, kind in LOGGER_TYPE_TO_CLASS.items() if str(getattr(known, "value", known)) == name)


def _is_figure(name: str, value: Any) -> bool:
    return name not in ("phase", "step", "time") and isinstance(value, int | float) and not isinstance(value, bool)
