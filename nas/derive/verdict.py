"""Whether a network holds the budgets it was asked under, and what to say where it does not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.derive.budget import OTHERS, Budget
from nas.derive.within_budget import Timed
from nas.latency.device import Device
from nas.latency.devices import TargetDevice
from nas.latency.kits.known_times import read_known
from nas.latency.tables.table import LatencyTable
from nas.terminal.configuration.override_text import command
from nas.terminal.progress import log
from search_spaces.arch import Arch
from search_spaces.memory.counted import Counted, amount
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.limits import Limit
from search_spaces.space import Genotype

NOT_ASKED = "latency was not asked for"
COSTS = (  # budgets but for that on latency: name, in words, unit
    ("macs", "multiply-adds", ""),
    ("params", "parameters", ""),
    ("memory_kib", "peak memory", " KiB"),
    ("weights_kib", "weights", " KiB"),
    ("energy_mj", "energy", " mJ"),
)
NOT_WANTED = "it was not asked for (measure=false)"


@dataclass(frozen=True)
class Asked:
    """The budgets of a search or a derivation: `latency` (None: none), and the `others` as limits.

    `counted`: how memory and weights are counted. `energy`: what networks take of it (None: the table does not say).
    """

    latency: Budget | None
    others: tuple[Limit, ...]
    counted: Counted
    energy: AdditiveCost | None = None

    def most(self, name: str) -> float | None:
        """The budget called `name` (`macs`...); None where it was not asked."""
        return next((limit.limit for limit in self.others if limit.name == name), None)

    def met(self, network: Timed) -> bool | None:
        """Whether `network` holds all of them; None where there are none.

        Latency is judged by the measurement; where there is none, by the estimate.
        """
        if self.latency is None and not self.others:
            return None
        return not self.shortfalls(network)

    def shortfalls(self, network: Timed) -> list[str]:
        """A phrase for each budget that `network` exceeds."""
        found = []
        if self.latency is not None:
            how, ms = ("measured", network.measured_ms) if network.measured_ms else ("estimated", network.estimated_ms)
            if ms is not None and ms > self.latency.ceiling_ms:
                over = 100 * (ms / self.latency.asked_ms - 1)
                found.append(f"{how} {ms:.4g} ms is {over:.2g}% above budget.latency_ms={self.latency.asked_ms:.4g}")
        for limit in self.others:
            has = limit.value(network.genotype)
            if has > limit.limit:
                found.append(f"{amount(has)} {limit.name} are above budget.{limit.name}={amount(limit.limit)}")
        return found

    def figures(self, arch: Arch, genotype: Genotype) -> dict[str, Any]:
        """What a network costs and what was asked of it, as receipts record it; what is not known is null."""
        energy = None if self.energy is None else float(self.energy(np.array([genotype]))[0])
        return {
            **{f"asked_{name}": whole(self.most(name)) for name in OTHERS},
            "params": arch.params,
            "macs": arch.macs,
            "memory_kib": arch.memory_kib(self.counted),
            "weights_kib": arch.weights_kib(self.counted),
            "energy_mj": energy,
            "counted": asdict(self.counted),
        }


def whole(value: float | None) -> float | None:
    """`value` as an int where it is one, as counts are written."""
    return int(value) if value is not None and float(value).is_integer() else value


def why_not_measured(device: TargetDevice, table: LatencyTable, run: Path) -> str | None:
    """Why networks of `run` have no measured latency, and what brings it; None where `device` measures them."""
    reason = device.not_measured(table)
    if reason is None or not device.takes_kits:
        return reason
    kit = kit_command(run, device.key)
    return f"{reason}; {kit} writes a kit of the found networks, which brings their times from there"


def kit_command(run: Path, device: Device) -> str:
    """The command that writes a kit of the networks of `run` without a time on `device`, beside those brought back."""
    number = len({known.kit for known in read_known(run, device).values()}) + 1
    kit = f"{run}-kit" + ("" if number == 1 else f"-{number}")
    return command("latency", {"action": "kit", "run": str(run), "kit": kit})


def say_missed(shortfalls: list[str], fix: str) -> None:
    """The line that comes first where a budget was missed."""
    log(f"BUDGET NOT MET: {'; '.join(shortfalls)}; {fix}")
