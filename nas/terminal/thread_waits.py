"""How the threads of one tensor operation wait for each other: awake for moments, so that neighbours cost their share.

torch's threads (GNU OpenMP) meet several times an operation. Who arrives first spins, by default for milliseconds, on
a core that the other threads need where the machine has other work: on two cores, each with a busy process, a training
step of a small network took 88 times as long as without them, and takes three times as long now
(`experiments/benchmarks/thread_waits`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

SPINS = ("GOMP_SPINCOUNT", "2000")  # instead of 300,000: as quick on a calm machine
BY_USER = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_ours: list[str] = []  # what this process has set


def spin_shortly() -> None:
    """Set the spins of this process, and of those it starts, before torch is loaded; what the user has set stays."""
    if "torch" not in sys.modules and not any(name in os.environ for name in BY_USER):
        os.environ[SPINS[0]] = SPINS[1]
        _ours.append(SPINS[0])


def as_deployed(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without what `spin_shortly` has set: of processes that measure what users will run."""
    return {name: value for name, value in environment.items() if name not in _ours}
