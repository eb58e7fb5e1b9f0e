"""What all tests share: the slow and gpu switches, one thread per process so that figures repeat, and plain output."""

from __future__ import annotations

import copy
import gc
import io
import os
import tempfile
from typing import IO, Any, ClassVar

import pytest
import torch
from hydra._internal.hydra import Hydra
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from nas.latency.measuring import networks

TERMINALS = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS")  # what makes rich believe in one


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


CACHE = tempfile.TemporaryDirectory(prefix="nas-tests-")  # what tests teach us of this machine is forgotten


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)
    os.environ["NAS_CACHE"] = CACHE.name
    for name in TERMINALS:
        os.environ.pop(name, None)


@pytest.fixture(scope="session", autouse=True)
def composed_once() -> None:
    """Hydra composes all settings a first time only to read `hydra.mode`; without an override, `--multirun` decides it.

    It also parses the same cards of `conf/` for every command. Commands called in this process are spared both; those
    that tests start as processes are as their users meet them.
    """
    asked = Hydra.get_mode

    def mode(self: Hydra, config_name: str | None, overrides: list[str]) -> Any:
        return asked(self, config_name, overrides) if any("hydra." in text for text in overrides) else None

    Hydra.get_mode = mode
    Plugins.instance()  # which imports the module of what reads cards a second time
    SourcesRegistry.instance().resolve("pkg").load_config.__globals__["OmegaConf"] = ParsedOnce


class ParsedOnce(OmegaConf):
    """Reads what has been read before, word for word, from memory: each time another copy."""

    known: ClassVar[dict[str, Any]] = {}

    @staticmethod
    def load(file_: IO[str]) -> Any:
        text = file_.read()
        if text not in ParsedOnce.known:
            ParsedOnce.known[text] = OmegaConf.load(io.StringIO(text))
        return copy.deepcopy(ParsedOnce.known[text])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="slow; run with --slow"))
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are timed by two new processes, whether these agree or not; each takes up to seconds to start."""
    monkeypatch.setattr(networks, "PROCESSES", 2)
    monkeypatch.setattr(networks, "MORE", ())


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> None:
    """Accelerate collects garbage before every training; what imports have left is not searched each time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()
