"""The Gaussian process itself: its kernel over genotypes, and the parameters that the evidence chooses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from predictors.base import Floats, not_fitted, training_data
from predictors.encoding import Encoding, scale
from predictors.scores import NormalScores
from predictors.warping import Warp
from search_spaces.space import Population, Variable

CHUNK = 8192  # candidates compared with the training set at a time
FARTHEST = 4.0  # prior deviations a kernel parameter may lie from its median
JITTER = 1e-6
ORDINAL_LENGTH = 0.35  # of the kernel between scaled ordered choices in [0, 1]

# Priors of the kernel's parameters: logarithm of the median, and deviation of the logarithm.
PRIORS = {
    "noise": (np.log(0.1), 1.5),
    "additive": (0.0, 1.0),
    "quadratic": (np.log(0.1), 1.5),
    "local": (np.log(0.3), 1.5),
    "local_length": (0.0, 1.0),
    "common": (0.0, 1.0),
    "near": (0.0, 1.0),
    "own": (-1.0, 1.0),
    "statistics_linear": (-1.0, 1.5),
    "statistics_local": (-1.0, 1.5),
    "statistics_length": (0.0, 0.7),
    "nominal": (-1.0, 1.0),
}
NEAR_LENGTH_DEVIATION, KIND_DEVIATION = 0.7, 1.0


class Process:
    """The predictor itself. On warped targets (`Warp`) its prior covariance of candidates x, y is

    `a k(x, y) + q k(x, y)^2 + l exp(-|x - y|_k^2 / 2 d^2)` and the same linear and local terms of the statistics.

    `k = z(x)' M z(y)`, z the centred one-hot choices; M couples a choice at position i with one at position j of the
    same kind (variables of equal choices) by `common + near exp(-|i - j| / length) + own [i = j]`, times how alike the
    two choices are: 1 if equal, between ordered numeric choices also a kernel of their distance. k has mean variance 1.
    `predict`'s deviation includes no measurement noise.
    """

    def __init__(
        self,
        variables: Sequence[Variable],
        recipe_variables: Sequence[Variable],
        scores: NormalScores | None,
        iterations: int,
    ) -> None:
        self.iterations, self.scores, self.genes = iterations, scores, len(variables)
        everything = (*variables, *recipe_variables)
        self.encoding = Encoding(everything, "onehot")
        kinds = list(dict.fromkeys((v.choices, v.ordered) for v in everything if len(v) > 1))
        self.kinds = len(kinds)
        owner: list[int] = []
        kind: list[int] = []
        choice: list[int] = []
        value: list[float] = []
        for i, v in enumerate(everything):
            if len(v) > 1:
                owner += [i] * len(v)
                kind += [kinds.index((v.choices, v.ordered))] * len(v)
                choice += range(len(v))
                scaled = scale(v)
                value += [np.nan] * len(v) if scaled is None else scaled.tolist()
        own, kin, cho, val = np.array(owner), np.array(kind), np.array(choice), np.array(value)
        same_kind = kin[:, None] == kin
        self.kind = torch.from_numpy(kin)
        self.equal = torch.from_numpy((same_kind & (cho[:, None] == cho)).astype(float))
        gap = np.nan_to_num(val[:, None] - val, nan=np.inf)
        self.alike = torch.from_numpy(np.where(same_kind, np.exp(-(gap**2) / (2 * ORDINAL_LENGTH**2)), 0.0))
        self.ordered = torch.from_numpy(np.isfinite(val))
        self.distance = torch.from_numpy(np.abs(own[:, None] - own).astype(float))
        sizes = np.bincount(own, minlength=len(everything))[own]
        self.centre = torch.from_numpy(1 / sizes)
        same = (own[:, None] == own).astype(float)
        self.covariance = torch.from_numpy(np.diag(1 / sizes) - same / (sizes[:, None] * sizes))
        length = np.log(max(len(everything) / 4, 1.0))
        prior = [*PRIORS.values(), (length, NEAR_LENGTH_DEVIATION), *[(0.0, KIND_DEVIATION)] * self.kinds]
        self.prior = torch.tensor(prior, dtype=torch.float64)
        self.warp: Warp | None = None

    def fit(self, population: Population, targets: Floats) -> None:
        population, targets = training_data(population, targets)
        self.warp = Warp.fit(targets)
        wanted = torch.from_numpy(self.warp.forward(targets))
        self.seen = self._inputs(population)
        median, deviation = self.prior[:, 0], self.prior[:, 1]
        identity = torch.eye(len(wanted), dtype=torch.float64)

        def negative_evidence(values: Floats) -> tuple[float, Floats]:
            log = torch.tensor(values, requires_grad=True)
            kernel = self._kernel(log, self.seen, self.seen) + (log[0].exp() + JITTER) * identity
            factor = torch.linalg.cholesky(kernel)
            weights = torch.cholesky_solve(wanted[:, None], factor)[:, 0]
            prior = ((log - median) / deviation).square().sum() / 2
            loss = wanted @ weights / 2 + factor.diagonal().log().sum() + prior
            loss.backward()
            assert log.grad is not None
            return float(loss.detach()), log.grad.numpy()

        # a line search that runs far out meets kernels that are singular in double precision
        reach = FARTHEST * deviation
        found = minimize(
            negative_evidence,
            median.numpy(),
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip((median - reach).tolist(), (median + reach).tolist(), strict=True)),
            options={"maxiter": self.iterations},
        )
        self.log = torch.from_numpy(found.x)
        with torch.no_grad():
            kernel = self._kernel(self.log, self.seen, self.seen) + (self.log[0].exp() + JITTER) * identity
            self.factor = torch.linalg.cholesky(kernel)
            self.weights = torch.cholesky_solve(wanted[:, None], self.factor)[:, 0]

    def predict(self, population: Population) -> tuple[Floats, Floats]:
        if self.warp is None:
            raise not_fitted("the structured process")
        return self.warp.backward(*self.warped(population))

    def warped(self, population: Population) -> tuple[Floats, Floats]:
        """Mean and deviation on the warped scale, each (n,)."""
        means, variances = [], []
        with torch.no_grad():
            for start in range(0, len(population), CHUNK):
                asked = self._inputs(population[start : start + CHUNK])
                cross = self._kernel(self.log, asked, self.seen)
                means.append(cross @ self.weights)
                half = torch.linalg.solve_triangular(self.factor, cross.T, upper=False)
                variances.append(self._diagonal(self.log, asked) - half.square().sum(dim=0))
        return torch.cat(means).numpy(), torch.cat(variances).clamp_min(0).sqrt().numpy()

    def _inputs(self, population: Population) -> tuple[Tensor, Tensor]:
        """Centred one-hot choices (n, columns) and normal scores of the statistics (n, s)."""
        encoded = torch.from_numpy(self.encoding.encode(population)) - self.centre
        if self.scores is None:
            return encoded, encoded[:, :0]
        return encoded, torch.from_numpy(self.scores(np.atleast_2d(population)[:, : self.genes]))

    def _parameters(self, log: Tensor) -> dict[str, Tensor]:
        return dict(zip(PRIORS, log.exp(), strict=False))

    def _metric(self, log: Tensor) -> Tensor:
        """M: (columns, columns)."""
        p, rest = self._parameters(log), log[len(PRIORS) :].exp()
        near = p["common"] + p["near"] * torch.exp(-self.distance / rest[0]) + p["own"] * (self.distance == 0)
        importance = rest[1:].sqrt()[self.kind]
        likeness = torch.where(self.ordered, p["nominal"], 1.0)[:, None] * self.equal + self.alike
        metric = near * likeness * importance[:, None] * importance
        return metric / (metric * self.covariance).sum()

    def _kernel(self, log: Tensor, left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> Tensor:
        p, metric = self._parameters(log), self._metric(log)
        left_metric, right_metric = left[0] @ metric, right[0] @ metric
        k = left_metric @ right[0].T
        norms = (left_metric * left[0]).sum(1)[:, None] + (right_metric * right[0]).sum(1)
        local = torch.exp((2 * k - norms).clamp_max(0) / (2 * p["local_length"] ** 2))
        total = p["additive"] * k + p["quadratic"] * k.square() + p["local"] * local
        if self.scores is not None:
            count = left[1].shape[1]
            product = left[1] @ right[1].T / count
            squares = left[1].square().sum(1)[:, None] / count + right[1].square().sum(1) / count
            local = torch.exp((2 * product - squares).clamp_max(0) / (2 * p["statistics_length"] ** 2))
            total = total + p["statistics_linear"] * product + p["statistics_local"] * local
        return total

    def _diagonal(self, log: Tensor, asked: tuple[Tensor, Tensor]) -> Tensor:
        p, metric = self._parameters(log), self._metric(log)
        k = ((asked[0] @ metric) * asked[0]).sum(1)
        total = p["additive"] * k + p["quadratic"] * k.square() + p["local"]
        if self.scores is not None:
            total = total + p["statistics_linear"] * asked[1].square().mean(1) + p["statistics_local"]
        return total
