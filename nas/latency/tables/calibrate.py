"""Fitting a table of isolated block times to whole networks, so that it stays a sum over layers.

Isolated times miss what happens between blocks (fusion, warm caches, layout changes, call overhead). For a network
with layers l the calibrated estimate is

    offset + sum_l [ (scale + scale_kind(l) + delta_l) ms_l + constant + constant_kind(l)
                     + per_element * elements_l + per_weight * weights_l ]

with `ms_l` the isolated time, `elements_l` the size of the layer's input and output, `weights_l` its number of
parameters (a layer that is timed alone, again and again, finds them in the nearest cache), and `delta_l` one correction
per table row. It is one linear model with a Gaussian prior: offset and scale are free, the corrections are drawn to
zero. Which corrections are worth having on this device, and how far they may go, is chosen by leave-one-out error: the
fit without one network, which a linear model gives in closed form, with its rows raised to the least that they may
have, as those of the table are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.pricing.additive import Floats

FREE = 1e3  # prior standard deviation of a coefficient that is left free, in units of its natural size


@dataclass(frozen=True, slots=True)
class Strength:
    """Prior standard deviations of the corrections, relative to the mean row; 0 leaves the correction out."""

    name: str
    offset: float = FREE
    constant: float = 0.0
    kind: float = 0.0
    element: float = 0.0
    row: float = 0.0
    weight: float = 0.0


MODELS = (
    Strength("scale", offset=0.0),
    # Networks that have no row in common may not share a saving (a negative offset): their layers have it instead.
    Strength("scale, constant per layer", offset=0.0, constant=1.0),
    Strength("scale, constant per layer, elements", offset=0.0, constant=1.0, element=1.0),
    Strength("scale, constant per layer, weights", offset=0.0, constant=1.0, weight=1.0),
    Strength("scale, constant per layer, elements, weights", offset=0.0, constant=1.0, element=1.0, weight=1.0),
    Strength("scale, offset"),
    Strength("scale, offset, constant per layer", constant=1.0),
    Strength("scale, offset, kinds", constant=0.3, kind=0.3),
    Strength("scale, offset, kinds, elements", constant=0.3, kind=0.3, element=0.3),
    Strength("scale, offset, elements", constant=1.0, element=1.0),
    *(Strength(f"scale, offset, rows ({row:g})", constant=0.3, row=row) for row in (0.03, 0.1, 0.3)),
    *(
        Strength(f"scale, offset, kinds, elements, rows ({row:g})", constant=0.3, kind=0.3, element=0.3, row=row)
        for row in (0.03, 0.1, 0.3)
    ),
)
GAIN = 0.98  # a richer model must bring the leave-one-out error at least this far down
EXACT = 0.01  # percent of leave-one-out error below which there is nothing to correct
LEAST_SHARE = 0.05  # of its isolated time that a row, and what all networks share, keep at least
NOISE = (0.003, 0.01, 0.03, 0.1)  # by how much of its time a network may be off what the corrections can explain


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a table as arrays: isolated ms, layer kind, size in elements and parameters, one entry a row.

    Identities have 0 ms and are never corrected.
    """

    ms: Floats
    kinds: Sequence[str]
    elements: Floats
    weights: Floats


@dataclass(frozen=True, slots=True)
class Calibration:
    """`offset_ms` plus one corrected time per row, the name of the chosen model and its leave-one-out MAPE.

    The error of the fit itself takes its place where that is larger.
    """

    offset_ms: float
    row_ms: Floats
    model: str
    loo_mape_percent: float


def calibrate(rows: Rows, counts: Floats, measured: Floats) -> Calibration:
    """Fit `rows` to `measured` (ms) of networks whose row counts are `counts`: `(networks, rows)`.

    With fewer than 4 networks only a scale is fitted. Raises `ValueError` without any network.
    """
    if len(measured) == 0:
        raise ValueError("calibration needs at least one whole network")
    candidates = MODELS if len(measured) >= 4 else MODELS[:1]
    always = np.maximum(counts.min(axis=0), 0.0)  # what every network has: none costs less than this
    best: Calibration | None = None
    for strength in candidates:
        effects, prior = _effects(rows, strength)
        # per-network columns: offset, then the table's corrections summed over the network's rows
        design = np.column_stack([np.ones(len(measured)), counts @ effects]) / measured[:, None]
        target = 1.0 - counts @ rows.ms / measured  # the prior mean: no offset, scale 1
        scale = np.concatenate([[strength.offset * float(np.median(measured))], prior])
        weighted = design * scale
        gram = weighted @ weighted.T
        for noise in NOISE:
            inverse = np.linalg.inv(gram + noise**2 * np.eye(len(measured)))
            solution = inverse @ target
            # column i: what the fit without network i gives; the last one: the fit to all
            without = solution[:, None] - inverse * (solution / np.diag(inverse))
            coefficients = scale[:, None] * (weighted.T @ np.column_stack([without, solution]))
            row_ms = rows.ms[:, None] + effects @ coefficients[1:]
            # A correction fitted to whole networks may undershoot for rows they hardly contain; time is never free.
            row_ms = np.maximum(row_ms, LEAST_SHARE * rows.ms[:, None])
            offset_ms, fitted = float(coefficients[0, -1]), row_ms[:, -1]
            left_out = coefficients[0, :-1] + np.einsum("nr,rn->n", counts, row_ms[:, :-1])
            error = 100 * max(_mean_error(estimates, measured) for estimates in (left_out, offset_ms + counts @ fitted))
            if best is not None and (error > GAIN * best.loo_mape_percent or best.loo_mape_percent < EXACT):
                continue
            if best is None or offset_ms + always @ fitted >= LEAST_SHARE * (always @ rows.ms):
                best = Calibration(offset_ms, fitted, strength.name, error)
    assert best is not None
    return best


def _mean_error(estimates: Floats, measured: Floats) -> float:
    return float(np.abs(estimates / measured - 1).mean())


def _effects(rows: Rows, strength: Strength) -> tuple[Floats, Floats]:
    """How each correction changes each row: `(rows, corrections)`, and the prior standard deviation of each."""
    real = rows.ms > 0
    typical = float(np.mean(rows.ms[real])) if real.any() else 1.0
    columns: list[NDArray[Any]] = [rows.ms]
    prior = [FREE]
    if strength.constant:
        columns.append(real * typical)
        prior.append(strength.constant)
    if strength.kind:
        for kind in sorted(set(rows.kinds)):
            member = real & np.array([k == kind for k in rows.kinds])
            columns += [member * rows.ms, member * typical]
            prior += [strength.kind, strength.kind]
    for own, values in ((strength.element, rows.elements), (strength.weight, rows.weights)):
        if own:
            size = values * real
            columns.append(size * (typical / max(float(np.mean(size[real])), 1.0)))
            prior.append(own)
    effects = np.column_stack(columns)
    if strength.row:
        effects = np.column_stack([effects, np.diag(rows.ms)])
        prior += [strength.row] * len(rows.ms)
    return effects, np.array(prior)
