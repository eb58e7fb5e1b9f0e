"""Figures of a run on their way to trackers, seen by one that remembers; the others differ in what Accelerate does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from accelerate import tracking

from nas.runs.metrics import Metrics
from nas.runs.watching.trackers import check_trackers, flat


class Remembering(tracking.GeneralTracker):
    """Keeps what it is told; fails at step `fails_at`."""

    name = "remembering"
    requires_logging_directory = True
    main_process_only = False
    fails_at: int | None = None
    made: list[Remembering] = []  # noqa: RUF012

    def __init__(self, run_name: str, logging_dir: str) -> None:
        self.told: list[Any] = [run_name, Path(logging_dir).name]
        self.made.append(self)
        super().__init__()

    @property
    def tracker(self) -> Any:
        return self

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.told.append(values)

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        if step == self.fails_at:
            raise ConnectionError("no network\nand a second line")
        self.told.append((step, values))

    def finish(self) -> None:
        self.told.append("finished")


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> type[Remembering]:
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "remembering", Remembering)
    monkeypatch.setattr(Remembering, "made", [])
    return Remembering


def records(folder: Path) -> Metrics:
    folder.mkdir()
    metrics = Metrics(folder)
    metrics.track(check_trackers(["remembering", "remembering", "tensorboard"]), {"a": {"b": [1], "c": None}, "d": 2})
    for step in range(2):
        metrics.log("search", step, {"loss": 0.5 * step, "candidate": "x", "gone": None})
    metrics.log("train", 0, {"top1_percent": 90})
    metrics.end()
    return metrics


def test_a_tracker_gets_every_figure_once_and_steps_that_rise(tmp_path: Path, remembering: type[Remembering]) -> None:
    metrics = records(tmp_path / "r")
    (one,) = remembering.made
    settings = {"run": str(tmp_path / "r"), "a.b": "[1]", "d": 2}
    assert one.told == [
        *("nas", "r", settings),
        *((0, {"search/loss": 0.0}), (1, {"search/loss": 0.5}), (2, {"train/top1_percent": 90}), "finished"),
    ]
    assert len(metrics.read()) == 3


def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on(
    tmp_path: Path, remembering: type[Remembering], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(remembering, "fails_at", 1)
    metrics = records(tmp_path / "r")
    assert len(metrics.read()) == 3 and len(remembering.made[0].told) == 4
    assert capsys.readouterr().out == "tracker remembering is left out from here on: no network\n"


def test_names_are_checked_before_anything_is_begun() -> None:
    assert check_trackers(None) == check_trackers([]) == check_trackers(["tensorboard"]) == ()
    with pytest.raises(ValueError, match=r"none called 'wandbb'; there are aim, .*wandb"):
        check_trackers(["wandbb"])
    installed = {str(kind.value) for kind in tracking.get_available_trackers()}
    missing = {str(name) for name in tracking.LOGGER_TYPE_TO_CLASS} - installed
    assert missing
    for name in missing:
        with pytest.raises(ValueError, match=rf"{name} is not installed; pip install {name.replace('_', '-')}"):
            check_trackers([name])


def test_nested_settings_become_flat() -> None:
    assert flat({"a": {"b": {"c": 1.5}, "d": "x"}, "e": True, "f": ()}) == {
        "a.b.c": 1.5,
        "a.d": "x",
        "e": True,
        "f": "()",
    }
