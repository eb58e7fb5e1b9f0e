"""Whether a network holds the budgets it was asked under, and what to say where it does not."""

from __future__ import annotations

from dataclasses import dataclass

from nas.derive.budget import Budget
from nas.derive.within_budget import Timed
from nas.terminal.progress import log
from search_spaces.arch import Arch

NOT_ASKED = "latency was not asked for"
NOT_WANTED = "it was not asked for (measure=false)"


@dataclass(frozen=True)
class Asked:
    """The budgets of a search or a derivation: `latency` (None: none), multiply-adds and parameters at most."""

    latency: Budget | None
    macs: int | None
    params: int | None

    def met(self, network: Timed, arch: Arch) -> bool | None:
        """Whether `network` holds all of them; None where there are none.

        Latency is judged by the measurement; where there is none, by the estimate.
        """
        if self.latency is None and self.macs is None and self.params is None:
            return None
        return not self.shortfalls(network, arch)

    def shortfalls(self, network: Timed, arch: Arch) -> list[str]:
        """A phrase for each budget that `network` exceeds."""
        found = []
        if self.latency is not None:
            how, ms = ("measured", network.measured_ms) if network.measured_ms else ("estimated", network.estimated_ms)
            if ms is not None and ms > self.latency.ceiling_ms:
                over = 100 * (ms / self.latency.asked_ms - 1)
                found.append(f"{how} {ms:.4g} ms is {over:.2g}% above budget.latency_ms={self.latency.asked_ms:.4g}")
        for name, most, has in (("macs", self.macs, arch.macs), ("params", self.params, arch.params)):
            if most is not None and has > most:
                found.append(f"{has:,} {name} are above budget.{name}={most:,}")
        return found


def say_missed(shortfalls: list[str], fix: str) -> None:
    """The line that comes first where a budget was missed."""
    log(f"BUDGET NOT MET: {'; '.join(shortfalls)}; {fix}")
