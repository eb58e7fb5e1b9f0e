"""Paths drawn from theta."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.methods.supernets.mixture import PathWeights
from nas.methods.supernets.paths import MODES, draw_path, initial_theta


def theta_of(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows)


def test_soft_weights_equal_torchs_gumbel_softmax() -> None:
    theta = theta_of([0.0, 1.0, -1.0], [0.5, 0.5, 2.0])
    _, m = draw_path(theta, 0.7, "soft", torch.Generator().manual_seed(3), differentiable=False)
    torch.manual_seed(3)  # the global generator with the same seed gives torch's function the same noise
    torch.testing.assert_close(m, F.gumbel_softmax(theta, tau=0.7))


def test_hard_paths_are_exact_samples_of_softmax_theta() -> None:
    theta = theta_of([0.0, 1.0, 2.0])
    generator = torch.Generator().manual_seed(0)
    draws = [draw_path(theta, 5.0, "hard", generator, False)[0].active[0][0] for _ in range(4000)]
    expected = torch.softmax(theta[0], 0).numpy()
    found = np.bincount(draws, minlength=3) / 4000
    assert (abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / 4000)).all()


def test_hard_weight_is_one_and_passes_the_gradient_of_m() -> None:
    theta = theta_of([0.3, -0.2, 0.1]).requires_grad_()
    path, m = draw_path(theta, 2.0, "hard", torch.Generator().manual_seed(1), differentiable=True)
    (k,) = path.active[0]
    assert path.weights[0].tolist() == [1.0]
    (through,) = torch.autograd.grad(path.weights[0].sum(), theta, retain_graph=True)
    (direct,) = torch.autograd.grad(m[0, k], theta)
    assert torch.equal(through, direct)
    assert through.abs().sum() > 0


def test_top2_renormalises_the_two_largest() -> None:
    theta = theta_of([0.0, 1.0, -1.0, 0.5]).requires_grad_()
    path, m = draw_path(theta, 1.0, "top2", torch.Generator().manual_seed(5), differentiable=True)
    a, b = path.active[0]
    assert {a, b} == set(m[0].topk(2).indices.tolist())
    torch.testing.assert_close(path.weights[0], m[0, [a, b]] / m[0, [a, b]].sum())
    path.weights[0][0].backward()
    assert theta.grad.abs().sum() > 0


@pytest.mark.parametrize("mode", MODES)
def test_absent_candidates_are_never_drawn(mode: str) -> None:
    theta = initial_theta([2, 4])
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        path, m = draw_path(theta, 5.0, mode, generator, differentiable=False)
        assert set(path.active[0]) <= {0, 1}
        assert m[0, 2:].tolist() == [0.0, 0.0]
        assert m.sum(-1).tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("mode", MODES)
def test_frozen_theta_gives_constants(mode: str) -> None:
    theta = initial_theta([3]).requires_grad_()
    path, m = draw_path(theta, 1.0, mode, torch.Generator().manual_seed(0), differentiable=False)
    assert not m.requires_grad
    assert path.weights[0] is None or not path.weights[0].requires_grad
    assert (path.weights[0] is None) == (mode == "hard")


def test_low_temperature_stays_finite() -> None:
    theta = (torch.randn(22, 9, generator=torch.Generator().manual_seed(0)) * 30).requires_grad_()
    _, m = draw_path(theta, 0.05, "soft", torch.Generator().manual_seed(0), differentiable=True)
    (m * m).sum().backward()
    assert torch.isfinite(m).all()
    assert torch.isfinite(theta.grad).all()


def test_unknown_mode_lists_the_options() -> None:
    with pytest.raises(ValueError, match="unknown path mode 'top3'; one of soft, top2, hard"):
        draw_path(initial_theta([2]), 1.0, "top3", torch.Generator(), False)


def test_negligible_candidates_are_left_out_and_the_rest_sums_to_one() -> None:
    theta = initial_theta([4, 2, 1])
    theta[0] = torch.tensor([3.0, 2.5, 0.0, -1.0])
    theta.requires_grad_()

    def draw(negligible: float) -> tuple[PathWeights, Tensor]:
        return draw_path(theta, 0.5, "soft", torch.Generator().manual_seed(0), True, negligible)

    (whole, m), (path, same) = draw(0.0), draw(0.05)
    assert torch.equal(m, same) and whole.active == ((0, 1, 2, 3), (0, 1), (0,))
    for row, active, weights in zip(m, path.active, path.weights, strict=True):
        kept = tuple(k for k in range(len(row)) if row[k] >= 0.05)
        assert active == kept and weights is not None
        assert torch.allclose(weights, row[list(kept)] / row[list(kept)].sum())
    assert len(path.active[0]) < 4  # or nothing was left out
    likeliest, _ = draw(0.999)
    assert all(len(active) == 1 for active in likeliest.active)
    assert [active[0] for active in likeliest.active] == m.argmax(-1).tolist()
