"""Expected cost of independent random choices: what a gradient follows where choices are priced together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from search_spaces.pricing.additive import AdditiveCost, merged_tables


class ExpectedCost:
    """`E[cost(g)]` for genes g_v drawn independently from p_v, exactly; in the unit of `cost`.

    `fixed + sum_t sum_{a, b, ...} table_t[a, b, ...] p_v(a) p_w(b) ...`: a layer between two searched widths costs the
    product of their probabilities.

    Departure: FBNetV2 (arXiv 2004.05565, section 3.1) prices effective shapes, `k^2 h w E[C_in] E[C_out]`. The two are
    equal for a convolution between independent widths; where one width is both (a stage's further blocks) the paper's
    figure misses its variance, and a measured latency is not a product of channels at all.
    """

    def __init__(self, cost: AdditiveCost) -> None:
        if not all(np.isfinite(table).all() for table in cost.tables):
            raise ValueError(
                "expected costs need genes that are chosen independently; this space sorts them (monotone)"
            )
        self.fixed = cost.fixed
        tables = {variables: np.ascontiguousarray(table) for variables, table in merged_tables(cost).items()}
        self.tables = {variables: torch.from_numpy(table).double() for variables, table in tables.items()}

    def __call__(self, probabilities: Sequence[Tensor]) -> Tensor:
        """The expectation, a float64 scalar; `probabilities[v]`: (choices of gene v,)."""
        total = torch.tensor(self.fixed, dtype=torch.float64)
        for variables, table in self.tables.items():
            value = table
            for v in reversed(variables):
                value = value @ probabilities[v].double()
            total = total + value
        return total
