"""How much is measured for a latency table, and how the visits are made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: networks to calibrate on and to prove with, visits per row and per network.

    Visits are shared out over five processes (two of two rounds), which make as many each: 12 rounds are 15 visits. A
    visit times calls for about `visit_ms` (rows) or `network_visit_ms` (networks), at least two. Where the networks are
    so large that their visits would take more than about `network_minutes` in all, they get fewer, at least two by
    each process. Raises `ValueError` for fewer than two networks or rounds, and for no time.
    """

    fit_networks: int = 24
    held_out_networks: int = 16
    rounds: int = 10
    network_rounds: int = 10
    visit_ms: float = 3.0
    network_visit_ms: float = 15.0
    network_minutes: float = 2.0

    def __post_init__(self) -> None:
        for name in ("fit_networks", "held_out_networks", "rounds", "network_rounds"):
            if getattr(self, name) < 2:
                raise ValueError(f"effort.{name} must be >= 2, got {getattr(self, name)}")
        if not self.network_minutes > 0:
            raise ValueError(f"effort.network_minutes must be > 0, got {self.network_minutes}")


@dataclass(frozen=True, slots=True)
class Visiting:
    """How visits are made: `seed` draws the networks of a new table and the order of visits, `pin` binds the measuring
    thread to one core (on a machine that is otherwise idle)."""

    seed: int = 0
    pin: bool = False
