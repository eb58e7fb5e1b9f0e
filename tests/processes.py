"""Processes that tests start to kill, or to have several at once: forked by one server, which imports what they need.

A process of its own imports for seconds; the server does once for all tests of a session.
"""

from __future__ import annotations

import multiprocessing

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    ["nas.search.run", "nas.derive.run", "nas.latency.build", "nas.terminal.entry", "optuna", "sklearn.datasets"]
)
