"""What all tests share: the slow and gpu switches, one thread per process so that figures repeat, and plain output."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import accelerate.utils.memory
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.utils import Bunch
from sqlalchemy import Engine, event

from nas.latency.measuring import networks
from nas.methods.candidates.image_job import KeptData
from tests.composing import compose_once

TERMINALS = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS")  # what makes rich believe in one


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


CACHE = tempfile.TemporaryDirectory(prefix="nas-tests-")  # what tests teach us of this machine is forgotten


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)
    os.environ["NAS_CACHE"] = CACHE.name
    accelerate.utils.memory.gc = SimpleNamespace(collect=lambda: 0)  # after every training; Python does it by itself
    event.listen(Engine, "connect", hurry)
    for name in TERMINALS:
        os.environ.pop(name, None)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup, where commands rightly go on
        signal.signal(signal.SIGHUP, lambda *_: None)  # so does this, and tests of a closed terminal see one


def hurry(connection: Any, _: Any) -> None:
    """No test cuts the power: the disk may have what is stored when it likes."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture(scope="session", autouse=True)
def composed_once() -> None:
    compose_once()


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


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the digits, for tests to which images are something that is trained on and no more."""
    quarter(monkeypatch)


@pytest.fixture(scope="module")
def few_digits_in_all() -> Iterator[None]:
    """The same for all tests of a module, which share what was trained."""
    with pytest.MonkeyPatch.context() as patch:
        quarter(patch)
        yield


def quarter(patch: pytest.MonkeyPatch) -> None:
    bunch = load_digits()
    few = Bunch(images=bunch.images[:450], target=bunch.target[:450])
    patch.setattr("sklearn.datasets.load_digits", lambda: few)
    patch.setattr("nas.methods.candidates.image_job._KEPT", KeptData())  # this process keeps what it has read


@pytest.fixture(scope="module")
def light_studies() -> Iterator[None]:
    """Searches in this process keep their trials without a database."""
    from tests.methods.candidates.light_studies import no_database

    with pytest.MonkeyPatch.context() as patch:
        no_database(patch)
        yield


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> None:
    """What imports have left is not searched whenever Python collects garbage."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()
