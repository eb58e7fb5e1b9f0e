"""What an executor is: it runs one function on many jobs and hands back what came of each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

Work = Callable[[Any], Any]
"""A module-level function of one picklable job; its result is picklable too."""


@dataclass(frozen=True)
class Done:
    """The end of one job: its result, or why there is none (`error`, one line)."""

    key: int
    result: Any = None
    error: str | None = None


class Workers(Protocol):
    """Workers that are up. Jobs are told apart by the keys they were submitted under."""

    @property
    def capacity(self) -> int:
        """How many jobs run at a time."""
        ...

    def submit(self, key: int, job: Any) -> None:
        """Start `job`; at most `capacity` may be under way."""
        ...

    def wait(self, timeout_seconds: float) -> list[Done]:
        """What ended since; waits for the first, but no longer than the timeout. A worker that died is an error."""
        ...


class Executor(Protocol):
    """A card that brings up workers for one function; they are gone when the context ends."""

    def open(self, work: Work) -> AbstractContextManager[Workers]: ...


def at_a_time(executor: Executor) -> int:
    """How many jobs `executor` runs side by side, by its attribute `workers`; 1 where it has none."""
    return max(int(getattr(executor, "workers", 1)), 1)


def describe(error: BaseException) -> str:
    """`error` in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:1000]
