"""Regression on features of a network, for devices on which times do not add up over layers.

The table stays the base: what is predicted is the logarithm of measured time over the plain sum of isolated block
times. Several regressions compete by cross-validated error on the networks that calibrated the table, the calibrated
table itself among them, and the networks held out of all this prove the winner. A predictor is a function of its table,
so it needs no file of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nas.latency.device import Device
from nas.latency.learning.features import network_features
from nas.latency.tables.proof import MARGIN_QUANTILE, Errors, Proof
from nas.latency.tables.table import LatencyTable
from search_spaces.arch import Arch
from search_spaces.pricing.additive import Floats
from search_spaces.space import LayerwiseSpace

TABLE = "table"
FOLDS = 5
MIN_NETWORKS = 16
GAIN = 0.9  # a regression replaces the table where it has at most this share of the table's error

MODELS: dict[str, Callable[[], BaseEstimator]] = {
    "ridge": lambda: make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13))),
    "kernel ridge": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), KernelRidge(kernel="rbf")),
        {"kernelridge__alpha": [1e-3, 1e-2, 1e-1], "kernelridge__gamma": [1e-3, 1e-2, 1e-1]},
        cv=3,
        scoring="neg_mean_absolute_error",
    ),
    "extra trees": lambda: ExtraTreesRegressor(100, min_samples_leaf=2, random_state=0),
    "gradient boosting": lambda: GradientBoostingRegressor(max_depth=2, subsample=0.7, random_state=0),
}


@dataclass(frozen=True)
class LatencyPredictor:
    """A table with a regression on top; `model` is `table` where no regression was worth it.

    `cv_mape_percent` holds the cross-validated error of every competitor, `proof` the winner's on held-out networks.
    """

    table: LatencyTable
    model: str
    cv_mape_percent: dict[str, float]
    proof: Proof
    regression: Any = None

    @property
    def space(self) -> str:
        return self.table.space

    @property
    def device(self) -> Device:
        return self.table.device

    @property
    def margin(self) -> float:
        """Relative safety margin, as `LatencyTable.margin`."""
        return self.proof.margin

    def estimate_ms(self, arch: Arch) -> float:
        """Milliseconds of one batch through `arch`. Raises `ValueError` for layers the table lacks."""
        if self.model == TABLE:
            return self.table.estimate_ms(arch)
        features = network_features(self.table, arch)
        return float(features["raw_ms"] * np.exp(self.regression.predict(_matrix([features]))[0]))

    def rows(self, space: LayerwiseSpace) -> tuple[float, tuple[Floats, ...]]:
        """The table's rows. Raises `ValueError` where a regression won: its estimates are no sum over layers."""
        if self.model != TABLE:
            raise ValueError(
                f"estimates by {self.model} are no sum over layers; use estimate_ms, or the additive table (.table)"
            )
        return self.table.rows(space)

    def sentence(self) -> str:
        """One line for logs: what was chosen, against what, and its proof."""
        errors = ", ".join(f"{name} {error:.1f}%" for name, error in self.cv_mape_percent.items())
        return f"{self.model} chosen by cross-validated error ({errors}); {self.proof.sentence()}"


def fit_predictor(table: LatencyTable) -> LatencyPredictor:
    """The best estimator for `table`'s device. Raises `ValueError` for a table without enough whole networks."""
    fit = [net for net in table.networks if net["role"] == "fit" and "features" in net]
    held = [net for net in table.networks if net["role"] == "held_out" and "features" in net]
    if len(fit) < MIN_NETWORKS or table.proof is None or not held:
        raise ValueError(
            f"a regression needs {MIN_NETWORKS} whole networks and others to prove it; this has {len(fit)}"
        )
    x = _matrix([net["features"] for net in fit])
    raw, measured = (np.array([net[name] for net in fit]) for name in ("raw_ms", "measured_ms"))
    target = np.log(measured / raw)
    folds = KFold(FOLDS, shuffle=True, random_state=0)
    errors = {TABLE: float(table.calibration["loo_mape_percent"])}
    for name, make in MODELS.items():
        predicted = raw * np.exp(cross_val_predict(make(), x, target, cv=folds))
        errors[name] = Errors.of(predicted, measured).mape_percent
    best = min(errors, key=lambda name: errors[name] * (GAIN if name == TABLE else 1.0))
    if best == TABLE:
        return LatencyPredictor(table, TABLE, errors, table.proof)
    regression = MODELS[best]().fit(x, target)
    truth = np.array([net["measured_ms"] for net in held])
    raw = np.array([net["raw_ms"] for net in held])
    estimates = raw * np.exp(regression.predict(_matrix([net["features"] for net in held])))
    margin = max(0.0, float(np.quantile(truth / estimates - 1, MARGIN_QUANTILE)))
    proof = Proof(
        len(held),
        len(fit),
        table.proof.raw,
        Errors.of(estimates, truth),
        table.proof.ceiling,
        margin,
        table.proof.footing,
    )
    return LatencyPredictor(table, best, errors, proof, regression)


def _matrix(features: list[dict[str, float]]) -> Floats:
    names = [name for name in features[0] if name != "raw_ms"]
    return np.array([[record[name] for name in names] for record in features])
