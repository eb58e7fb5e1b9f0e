"""Single-Path's expected runtime and loss, on its published Pixel 1 table and by hand."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from nas.methods.supernets.nested_candidates import nest_of
from nas.methods.supernets.objectives import single_path_loss, single_path_runtime_ms
from search_spaces.families.single_path import published
from tests.methods.nested_spaces import PAPER_SPACE, decisions

PIXEL = json.loads((Path(__file__).parents[1] / "fixtures/single-path-nas/pixel1_runtime_model.json").read_text())
FIXED_MS = 19.5999


def rows_ms(index: int) -> Tensor:
    columns = [float(PIXEL[str(index)][str(c)]) for c in range(4)]
    return torch.tensor(columns, dtype=torch.float64).view(2, 2)  # (kernels, widths)


def runtime_ms(genotype: list[tuple[int, int, int]]) -> float:
    total = FIXED_MS
    for index, (d5, d50, d100) in enumerate(genotype, start=1):
        kernel = torch.tensor([d5], dtype=torch.float64)
        total += float(single_path_runtime_ms(kernel, torch.tensor([d50, d100], dtype=torch.float64), rows_ms(index)))
    return total


def test_runtime_formula_on_the_pixel_1_table() -> None:
    every = [runtime_ms([bits] * 20) for bits in ((1, 1, 1), (0, 1, 1), (1, 1, 0), (0, 1, 0))]
    assert [round(ms, 2) for ms in every] == [131.46, 110.65, 76.36, 65.64]
    assert round(runtime_ms([(0, int(i % 4 == 0), 0) for i in range(20)]), 2) == 30.79
    nests = [nest_of(position) for position in PAPER_SPACE.positions]
    genotype = PAPER_SPACE.encode(published("spnasnet_100"))
    bits = [decisions(nest, gene)[:2] for nest, gene in zip(nests, genotype, strict=True)]
    assert round(runtime_ms([(int(k[0]), int(w[0]), int(w[1])) for k, w in bits]), 2) == 80.59


def test_runtime_of_more_kernels_and_widths_continues_the_chains() -> None:
    # a table that is a product of a kernel and a width factor is exact
    ms = torch.outer(torch.tensor([1.0, 1.5, 1.75]), torch.tensor([2.0, 3.0, 5.0, 6.0]))
    for k, w in itertools.product(range(3), range(4)):
        kernel = torch.tensor([float(i < k) for i in range(2)])
        width = torch.tensor([1.0] + [float(i < w) for i in range(3)])
        assert float(single_path_runtime_ms(kernel, width, ms)) == pytest.approx(float(ms[k, w]))
    assert float(single_path_runtime_ms(kernel, torch.zeros(4), ms, skip_ms=0.25)) == 0.25


def test_runtime_gradient_is_autograds_of_the_formula() -> None:
    d5 = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    width = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    ms = rows_ms(1)
    single_path_runtime_ms(d5, width, ms).backward()
    (_, r36), (r53, r56) = ms.tolist()
    rho = r36 / r56
    assert d5.grad is not None and width.grad is not None
    assert float(d5.grad) == pytest.approx((1 - rho) * r53)
    np.testing.assert_allclose(width.grad, [r53, r56 - r53])


def test_published_loss() -> None:
    latency = torch.tensor(80.0, requires_grad=True)
    loss = single_path_loss(torch.tensor(3.5), latency, 20.0)
    assert float(loss.detach()) == pytest.approx(3.5 + 20 * math.log(80))
    loss.backward()
    assert float(latency.grad) == pytest.approx(0.25)  # nats per ms of the released run, at 80 ms
