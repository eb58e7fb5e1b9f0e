"""Commands that are made up for a test, run under the settings of a search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nas.terminal.entry import DictConfig, entry

Outcome = tuple[int, str]


@pytest.fixture
def attempt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run a command made of `body` under `conf/search.yaml`; returns its exit status and what it wrote on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(overrides: list[str], body: Callable[[DictConfig], None] = lambda cfg: None) -> Outcome:
        try:
            entry("search")(body)(overrides)
        except SystemExit as stop:
            return int(stop.code or 0), capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run
