"""Settings under the names they had before: at the command line, from Python, and in stored runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.runs.run import Run
from nas.terminal.command_help import card_groups
from nas.terminal.configuration.composition import CONF, compose, keys
from nas.terminal.entry import DictConfig, plain
from nas.terminal.python_settings import resolved
from nas.terminal.renamed_keys import RENAMED, present_words
from tests.terminal.conftest import Outcome


@pytest.mark.parametrize("command", RENAMED)
def test_present_names_are_names_and_old_ones_are_not(command: str) -> None:
    known = {*keys(compose(command, [])), *card_groups(command)}
    assert set(RENAMED[command].values()) <= known and not set(RENAMED[command]) & known
    for old in RENAMED[command]:
        assert not (CONF / old).exists()


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ("engine=ray", "executor=ray"),
        ("engine.workers=2", "executor.workers=2"),
        ("++engine.workers=2", "++executor.workers=2"),
        ("~engine", "~executor"),
        ("engine=local,ray", "executor=local,ray"),
        ("data.root=engine=1", "data.root=engine=1"),
        ("derive.how=sample", "derive.mode=sample"),
        ("engineer=1", "engineer=1"),
        ("--config-dir", "--config-dir"),
        ("run/engine", "run/engine"),
    ],
)
def test_overrides_get_the_present_key(old: str, now: str) -> None:
    assert present_words("search", [old]) == [now]
    assert present_words("train", [old]) == [old]


def test_an_old_key_works_and_says_the_present_one(
    attempt: Callable[..., Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    def body(cfg: DictConfig) -> None:
        said.append(capsys.readouterr().out)
        assert cfg.executor.workers == 2 and cfg.executor.cpus == 3

    assert attempt(["engine=ray", "engine.cpus=3", "executor.workers=2"], body) == (0, "")
    assert said[0].splitlines() == [
        "NOTE: the setting engine is called executor now; the old name keeps working",
        "NOTE: the setting engine.cpus is called executor.cpus now; the old name keeps working",
    ]


def test_cards_of_a_renamed_group_are_asked_to_move(attempt: Callable[..., Outcome]) -> None:
    Path("cards/engine").mkdir(parents=True)
    status, text = attempt(["--config-dir", "cards", "engine=mine"])
    assert status == 2 and "rename it cards/executor" in text and text.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ({"engine": "ray"}, {"executor": "ray"}),
        ({"engine": {"workers": 2}}, {"executor": {"workers": 2}}),
        ({"engine": {"card": "ray", "cpus": 2}}, {"executor": {"card": "ray", "cpus": 2}}),
        ({"overrides": ["engine=ray"]}, {"executor": "ray"}),
        ({"derive": {"how": "sample", "count": 2}}, {"derive": {"mode": "sample", "count": 2}}),
    ],
)
def test_old_keywords_work(old: dict[str, Any], now: dict[str, Any]) -> None:
    assert resolved("search", old, {}) == resolved("search", now, {}) != resolved("search", {}, {})


def test_a_run_with_old_keys_goes_on(attempt: Callable[..., Outcome]) -> None:
    found: list[int] = []

    def body(cfg: DictConfig) -> None:
        with Run.open(cfg.run_dir, cfg.resume, "x", plain(cfg)) as run:
            run.log("search", len(found), loss=1.0)
            found.append(cfg.executor.workers)
        assert cfg.derive.mode == "sample" and "how" not in cfg.derive

    attempt(["run_dir=r", "executor.workers=2", "derive.mode=sample"], body)
    for config in (Path("r/config.yaml"), Path("r/checkpoints/config.yaml")):
        config.write_text(
            config.read_text()
            .replace("executor:", "engine:")
            .replace("  mode: sample", "  how: sample")
            .replace("nas.methods.candidates.executors.local.LocalExecutor", "nas.engines.local.LocalEngine")
        )
    assert attempt(["resume=r"], body) == (0, "") and attempt(["resume=r", "engine.workers=3"], body) == (0, "")
    assert found == [2, 2, 3]
    assert "engine" not in Path("r/config.yaml").read_text()


def test_an_experiment_of_ones_own_may_use_old_keys(
    attempt: Callable[..., Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    def body(cfg: DictConfig) -> None:
        assert "engine" not in cfg and "how" not in cfg.derive
        assert (cfg.executor.workers, cfg.executor.threads, cfg.derive.mode, cfg.derive.count) == (5, 1, "sample", 2)
        assert "derive.how is called derive.mode now" in capsys.readouterr().out

    Path("cards/experiment").mkdir(parents=True)
    Path("cards/experiment/mine.yaml").write_text(
        "# @package _global_\nengine:\n  workers: 5\nderive:\n  how: sample\n  count: 2\n"
    )
    assert attempt(["--config-dir", "cards", "experiment=mine"], body) == (0, "")
    Path("cards/experiment/mine.yaml").write_text("# @package _global_\ndefaults:\n  - override /engine: ray\n")
    assert "override 'engine'" in attempt(["--config-dir", "cards", "experiment=mine"])[1]
