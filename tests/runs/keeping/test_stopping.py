"""Signals: at once where nothing keeps a state, behind the present step where something does."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.runs.keeping import stopping
from nas.runs.keeping.keeper import AGREE_EVERY, INTERVAL, Keeper
from nas.runs.keeping.randomness import random_state, set_random_state
from nas.runs.keeping.settings import Keeping


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGUSR1", 138), ("SIGHUP", 129)])
def test_a_signal_waits_for_the_step(name: str, status: int) -> None:
    number, before = signal.Signals[name], signal.getsignal(signal.Signals[name])
    done = []
    with pytest.raises(stopping.Terminated) as ended, stopping.by_signals(), stopping.at_next_step():
        os.kill(os.getpid(), number)
        done.append(stopping.asked())
        os.kill(os.getpid(), number)  # a launcher that says it twice
        done.append(stopping.asked())
    assert done == [number, number] and ended.value.status == status
    assert signal.getsignal(number) == before and not stopping.asked()
    with pytest.raises(stopping.Terminated), stopping.by_signals():
        os.kill(os.getpid(), number)
        pytest.fail("outside of a loop it ends at once")


def test_a_closed_terminal_ends_nothing_under_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping.by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_that_is_repeated_at_once_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that is hung up repeats the signal of its terminal, into the midst of leaving the run in order."""
    done = []
    with pytest.raises(stopping.Terminated) as ended, stopping.by_signals():
        try:
            os.kill(os.getpid(), signal.SIGHUP)
        finally:
            os.kill(os.getpid(), signal.SIGHUP)
            done.append("left in order")
            monkeypatch.setattr(stopping, "PATIENCE_SECONDS", 0.0)
            with pytest.raises(stopping.Terminated):
                os.kill(os.getpid(), signal.SIGTERM)
    assert done and ended.value.number == signal.SIGHUP


def test_whoever_asks_again_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(stopping.Terminated), stopping.at_next_step():
        stopping.ask(signal.SIGTERM)
        stopping.ask(signal.SIGTERM)
        pytest.fail("the second one ends at once")
    assert not stopping.asked()


def test_an_error_of_the_step_is_not_hidden_by_a_signal() -> None:
    with pytest.raises(ValueError, match="wrong"), stopping.at_next_step():
        stopping.ask(signal.SIGTERM)
        raise ValueError("wrong")
    assert not stopping.asked()


def test_when_a_step_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    keeper, never = Keeper(tmp_path / "a.pt", minutes=2), Keeper(tmp_path / "a.pt", minutes=0)
    found = []
    for now[0] in (60.0, 119.0, 120.0):
        found.append(keeper.due())
    assert found == [0, 0, INTERVAL] and never.due() == 0 == Keeper(None, minutes=2).due()
    keeper.keep({"step": 1}, INTERVAL)
    assert keeper.due() == 0 and keeper.unfinished() == {"step": 1}
    keeper.finished()
    assert keeper.unfinished() is None and not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="checkpoint_minutes must be 0 or greater, got -1"):
        Keeping(-1)


def test_random_numbers_go_on_where_they_stood() -> None:
    own = torch.Generator().manual_seed(3)
    np.random.seed(1)
    np.random.normal(size=3)  # leaves the second one of a pair behind
    state = random_state(own)

    def draw() -> list[float]:
        return [float(torch.rand(1)), float(torch.rand(1, generator=own)), *np.random.normal(size=3).tolist()]

    expected = draw()
    assert draw() != expected
    set_random_state(state, own)
    assert draw() == expected


def test_several_processes_keep_the_same_step(tmp_path: Path) -> None:
    """What one was told the others hear at the next step at which they agree, and none of them stops before."""
    told: list[int] = []
    keepers = [Keeper(tmp_path / "a.pt", 0, writes, lambda number: max(number, *told, 0)) for writes in (True, False)]
    due = []
    for step in range(2 * AGREE_EVERY):
        if step == 3:
            told.append(INTERVAL + signal.SIGUSR1)  # to a third one
        due.append([keeper.due() for keeper in keepers])
    assert [step for step, both in enumerate(due, 1) if any(both)] == [AGREE_EVERY, 2 * AGREE_EVERY]
    assert due[AGREE_EVERY - 1] == [INTERVAL + signal.SIGUSR1] * 2
    for keeper in keepers:
        with pytest.raises(stopping.Terminated) as ended:
            keeper.keep({"a": 1}, due[AGREE_EVERY - 1][0])
        assert ended.value.number == signal.SIGUSR1
