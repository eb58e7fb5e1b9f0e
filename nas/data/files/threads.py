"""A function of many items, a few at a time in threads, in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

WAITING = 64  # items begun per thread: `ThreadPoolExecutor.map` would queue a million at once

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """`function` of each of `items`; leaving the iteration early cancels the rest."""
    rest = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        waiting = deque(pool.submit(function, item) for item in islice(rest, WAITING * workers))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(rest, 1))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
