"""Published equations at hand-computed points, and their gradients."""

import math

import pytest
import torch

from nas.methods.supernets import objectives


def test_fbnet_loss_at_20_ms() -> None:
    # 0.2 * ln(20)^0.6 = 0.2 * 2.99573^0.6 = 0.2 * 1.93152
    loss = objectives.fbnet_loss(torch.tensor(1.0, dtype=torch.float64), torch.tensor(20.0, dtype=torch.float64))
    assert loss.item() == pytest.approx(0.2 * 2.995732273553991**0.6, rel=1e-12)
    assert loss.item() == pytest.approx(0.3863, abs=1e-4)


def test_fbnet_loss_gradient() -> None:
    ce = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    ms = torch.tensor(23.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(objectives.fbnet_loss, (ce, ms))
    # d ln(loss) / d ln(LAT) = beta / ln(LAT)
    loss = objectives.fbnet_loss(ce, ms)
    loss.backward()
    assert ms.grad is not None
    assert (ms.grad * ms / loss).item() == pytest.approx(0.6 / math.log(23.0), rel=1e-12)


@pytest.mark.parametrize("latency_ms", [0.2, 1.0])
def test_fbnet_unit_is_refused_below_a_millisecond(latency_ms: float) -> None:
    with pytest.raises(ValueError, match=r"needs LAT > 1 ms.*use method\.loss=ce"):
        objectives.check_fbnet_unit(latency_ms)
    objectives.check_fbnet_unit(1.01)


def test_expected_latency_is_the_contraction() -> None:
    weights = torch.tensor([[0.25, 0.75], [1.0, 0.0]], requires_grad=True)
    rows = torch.tensor([[4.0, 8.0], [1.0, 100.0]])
    expected = objectives.expected_latency_ms(weights, 3.0, rows)
    assert expected.item() == 3.0 + 1.0 + 6.0 + 1.0
    expected.backward()
    assert torch.equal(weights.grad, rows)  # its gradient is the table itself


def test_augmented_lagrangian_by_hand() -> None:
    # inactive: multiplier + penalty * v < 0 gives -multiplier^2 / (2 penalty)
    assert objectives.augmented_lagrangian(torch.tensor(-1.0), 0.5, 10.0).item() == pytest.approx(-0.25 / 20)
    # active: ((0.5 + 10 * 0.2)^2 - 0.25) / 20 = (6.25 - 0.25) / 20
    assert objectives.augmented_lagrangian(torch.tensor(0.2), 0.5, 10.0).item() == pytest.approx(0.3)
    violation = torch.tensor(0.2, requires_grad=True)
    objectives.augmented_lagrangian(violation, 0.5, 10.0).backward()
    assert violation.grad.item() == pytest.approx(objectives.next_multiplier(0.2, 0.5, 10.0)) == pytest.approx(2.5)
    assert objectives.next_multiplier(-1.0, 0.5, 10.0) == 0.0


def test_temperature_follows_the_published_schedule() -> None:
    at = [objectives.temperature_at(epoch, 5.0, 0.045, 0.0) for epoch in (0, 1, 80, 90)]
    assert at == pytest.approx([5.0, 5.0 * 0.956, 0.137, 0.087], abs=1e-3)
    assert objectives.temperature_at(90, 5.0, 0.045, 0.1) == 0.1
