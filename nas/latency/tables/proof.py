"""How well a table prices whole networks it has not seen: the figures that travel with it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.latency.tables import fields
from predictors.metrics import kendall_tau, spearman
from search_spaces.pricing.additive import Floats

# The gate of a good table.
MAX_MAPE_PERCENT = 3.0
MIN_WITHIN_10_PERCENT = 95.0
MIN_TAU_SHARE = 0.95  # of the noise ceiling

MARGIN_QUANTILE = 0.9
UNRANKED = (math.nan, math.nan)  # rank correlations of a single network
HALVES, WHOLE = "halves", "whole"  # what the ceiling of a proof is of


def noise_ceiling(halves: tuple[Floats, Floats], measured: Floats) -> Errors:
    """What true times would have against the `measured` ones, by what two `halves` of the timings differ in.

    With independent noise of variance s^2 on the logarithm of a whole timing, a half has 2 s^2, the logarithm d of the
    ratio of two halves 4 s^2, and d / 2 the s^2 by which a whole timing is off. True times are imitated by the measured
    ones, drawn together to the spread that is left without the noise, and timings by these times exp(d / 2).
    """
    noise = np.log(halves[0] / halves[1]) / 2
    logs = np.log(measured)
    kept = max(0.0, 1 - float(np.square(noise).mean()) / max(float(logs.var()), 1e-30)) ** 0.5
    true = np.exp(logs.mean() + kept * (logs - logs.mean()))
    return Errors.of(true, true * np.exp(noise))


@dataclass(frozen=True, slots=True)
class Errors:
    """Estimates against measurements of the same networks.

    `mape_percent` is the mean of |estimate / measured - 1|; `within_5_percent` and `within_10_percent` the percentage
    of networks inside these errors; `kendall_tau` and `spearman` rank correlations (NaN below two networks).
    """

    mape_percent: float
    within_5_percent: float
    within_10_percent: float
    kendall_tau: float
    spearman: float

    @staticmethod
    def of(estimates: Floats, measured: Floats) -> Errors:
        errors = np.abs(estimates / measured - 1)
        return Errors(
            float(100 * errors.mean()),
            float(100 * (errors <= 0.05).mean()),
            float(100 * (errors <= 0.10).mean()),
            *((kendall_tau(estimates, measured), spearman(estimates, measured)) if len(measured) > 1 else UNRANKED),
        )

    @staticmethod
    def from_dict(data: Any) -> Errors:
        errors = Errors(**data)
        for field in dataclasses.fields(Errors):
            low, high = (-1.0, 1.0) if field.name in ("kendall_tau", "spearman") else (0.0, fields.LARGEST)
            fields.number(getattr(errors, field.name), f"proof.{field.name}", low, high)
        return errors


@dataclass(frozen=True, slots=True)
class Proof:
    """A table against whole networks held out of its calibration.

    `raw` are plain sums of isolated times, `calibrated` the table's estimates, `ceiling` the true times as far as noise
    allows to know them, all against the same measured ones (see `noise_ceiling`; None where each was timed once).
    `fit_networks` calibrated the table, `networks` proved it. `margin` is the 90% quantile of measured / estimate - 1
    over these, at least 0. `footing`: what `ceiling` is of; `halves` in proofs of before: one half of the timings
    against the other, each of them noisier than what the table is compared with.
    """

    networks: int
    fit_networks: int
    raw: Errors
    calibrated: Errors
    ceiling: Errors | None
    margin: float
    footing: str = HALVES

    @staticmethod
    def of(
        raw: Floats, calibrated: Floats, halves: tuple[Floats, Floats], measured: Floats, fit_networks: int
    ) -> Proof:
        return Proof(
            len(measured),
            fit_networks,
            Errors.of(raw, measured),
            Errors.of(calibrated, measured),
            noise_ceiling(halves, measured),
            max(0.0, float(np.quantile(measured / calibrated - 1, MARGIN_QUANTILE))),
            WHOLE,
        )

    @property
    def faults(self) -> list[str]:
        """Which gates the table misses, in words; empty for a good table."""
        found = []
        fit = self.calibrated
        if not fit.mape_percent <= MAX_MAPE_PERCENT:
            found.append(f"mean error {fit.mape_percent:.1f}% (gate {MAX_MAPE_PERCENT:g}%)")
        if not fit.within_10_percent >= MIN_WITHIN_10_PERCENT:
            found.append(f"{fit.within_10_percent:.0f}% of networks within 10% (gate {MIN_WITHIN_10_PERCENT:g}%)")
        best = self.ceiling.kendall_tau if self.ceiling and self.footing == HALVES else self.best_tau
        gate = MIN_TAU_SHARE * (1.0 if best is None else best)
        if not fit.kendall_tau >= gate:
            of = "" if best is None else f", {MIN_TAU_SHARE:g} x the noise ceiling"
            found.append(f"Kendall tau {fit.kendall_tau:.3f} (gate {gate:.3f}{of})")
        return found

    @property
    def best_tau(self) -> float | None:
        """Kendall's tau that true times would have with the measured ones: the noise ceiling of any table.

        That of the `ceiling`, but no less than the table's own, which shows that as much can be reached. Of a proof by
        halves from their tau, as for normal variables: r = sin(pi tau / 2) of the halves, 2 r / (1 + r) of two whole
        timings (Spearman-Brown), its root of a whole timing and the truth. None where it is not known: networks timed
        once, halves that agree on nothing or on less than the table does.
        """
        if self.ceiling is None or self.ceiling.mape_percent == 0:
            return None
        if self.footing == WHOLE:
            return max(self.ceiling.kendall_tau, self.calibrated.kendall_tau)
        halves = math.sin(math.pi / 2 * self.ceiling.kendall_tau)
        if not halves > 0:
            return None
        best = 2 / math.pi * math.asin(math.sqrt(2 * halves / (1 + halves)))
        return best if best >= self.calibrated.kendall_tau else None

    def sentence(self) -> str:
        """One line for logs and result tables."""
        verdict = "a good table" if not self.faults else "a POOR table: " + "; ".join(self.faults)
        best = "noise ceiling unknown" if self.best_tau is None else f"noise ceiling {self.best_tau:.3f}"
        return (
            f"{self.calibrated.mape_percent:.1f}% mean error on {self.networks} held-out networks, "
            f"{self.calibrated.within_10_percent:.0f}% within 10%, Kendall tau {self.calibrated.kendall_tau:.3f} "
            f"({best}): {verdict}"
        )

    def table(self) -> tuple[Sequence[str], list[Sequence[object]]]:
        """Columns and rows for `nas.terminal.progress.table`."""
        columns = ("held-out networks", "MAPE %", "within 5%", "within 10%", "Kendall tau", "Spearman")
        rows: list[Sequence[object]] = [
            (
                name,
                f"{e.mape_percent:.2f}",
                f"{e.within_5_percent:.0f}",
                f"{e.within_10_percent:.0f}",
                f"{e.kendall_tau:.3f}",
                f"{e.spearman:.3f}",
            )
            for name, e in (
                ("sum of blocks (raw)", self.raw),
                ("table (calibrated)", self.calibrated),
                ("timed twice" if self.footing == HALVES else "noise alone", self.ceiling),
            )
            if e is not None
        ]
        return columns, rows

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(data: Any) -> Proof:
        try:
            errors: dict[str, Errors | None] = {
                name: None if name == "ceiling" and data[name] is None else Errors.from_dict(data[name])
                for name in ("raw", "calibrated", "ceiling")
            }
            proof = Proof(**{**data, **errors})
            fields.whole(proof.networks, "proof.networks", 1)
            fields.whole(proof.fit_networks, "proof.fit_networks")
            fields.number(proof.margin, "proof.margin", 0.0)
            if proof.footing not in (HALVES, WHOLE):
                raise ValueError(f"proof.footing must be {HALVES} or {WHOLE}, got {proof.footing!r}")
            return proof
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a proof of a latency table: {error}") from None
