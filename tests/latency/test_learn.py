"""Tables learned from whole networks, and transfer from other devices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from nas.latency.learning.learn import Additive, fit_additive, learn, learning_options, one_hot, shared_rows, work
from nas.latency.learning.transfer import transfer
from search_spaces.families.fbnet import fbnet

SPACE = fbnet(32, num_classes=100, head_channels=1504)
RNG = np.random.default_rng(0)
POPULATION = SPACE.sample(600, RNG)


def device(seed: int, noise: float = 0.0) -> tuple[Additive, np.ndarray]:
    """An additive device whose times follow the work, plus each row's own part; and its times of `POPULATION`."""
    rng = np.random.default_rng(seed)
    known, shared = work(SPACE), shared_rows(SPACE)
    effects = known @ rng.uniform(0, 0.05, known.shape[1]) + shared @ rng.uniform(0, 0.05, shared.shape[1])
    truth = Additive(3.0, tuple(np.split(effects, 22)))
    times = truth.predict(POPULATION)
    return truth, times * (1 + noise * rng.standard_normal(len(times)))


def test_one_hot_prices_like_gather() -> None:
    truth, times = device(1)
    assert one_hot(POPULATION, [9] * 22) @ np.concatenate(truth.rows_ms) + 3.0 == pytest.approx(times)


def test_rows_that_execute_alike_share_an_effect() -> None:
    shared = shared_rows(SPACE)
    assert shared.shape == (198, 102)
    assert set(shared.sum(1)) == {0.0, 1.0}
    identities = [i for i, row in enumerate(shared) if row.sum() == 0]
    assert len(identities) == 16
    assert all(i % 9 == 8 for i in identities)


@pytest.mark.parametrize(("count", "error"), [(400, 1e-4), (150, 1e-3), (60, 0.02)])
def test_additive_device_is_learned(count: int, error: float) -> None:
    _, times = device(2)
    fit = learn(SPACE, POPULATION[:count], times[:count])
    assert np.abs(fit.predict(POPULATION[count:]) / times[count:] - 1).mean() < error


def test_leave_one_out_error_is_honest() -> None:
    _, times = device(3, noise=0.02)
    fit = learn(SPACE, POPULATION[:100], times[:100])
    real = np.sqrt(np.mean((fit.predict(POPULATION[100:]) - times[100:]) ** 2))
    assert 0.7 < fit.loo_ms / real < 1.4


def test_leave_one_out_is_that_of_refitting() -> None:
    _, times = device(4, noise=0.05)
    population, times = POPULATION[:40], times[:40]
    option = [learning_options(SPACE)[2]]
    cardinalities = SPACE.cardinalities.tolist()
    fit = fit_additive(population, times, cardinalities, option, (0.1,), robust=False)
    errors = []
    spread = times.std()
    for i in range(40):
        keep = np.arange(40) != i
        noise = 0.1 * spread / times[keep].std()  # the same noise in ms
        scaled = [(basis, std * spread / times[keep].std()) for basis, std in option[0]]
        one = fit_additive(population[keep], times[keep], cardinalities, [scaled], (noise,), robust=False)
        errors.append(one.predict(population[i : i + 1])[0] - times[i])
    assert fit.loo_ms == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-6)


def test_stalls_count_less() -> None:
    _, times = device(5, noise=0.01)
    stalled = times[:200].copy()
    stalled[::20] *= 3
    errors = [
        np.abs(
            learn(SPACE, POPULATION[:200], stalled, robust=robust).predict(POPULATION[200:]) / times[200:] - 1
        ).mean()
        for robust in (False, True)
    ]
    assert errors[1] < 0.5 * errors[0]


def test_ten_networks_and_other_devices_make_a_table() -> None:
    sources = [learn(SPACE, POPULATION, device(seed, noise=0.01)[1]) for seed in (10, 11, 12)]
    _, times = device(13)
    ten = transfer(SPACE, POPULATION[:10], times[:10], sources)
    alone = learn(SPACE, POPULATION[:10], times[:10])
    ranks = [spearmanr(fit.predict(POPULATION[10:]), times[10:]).statistic for fit in (ten, alone)]
    assert ranks[0] > 0.9
    assert ranks[0] > ranks[1] - 0.02
    with pytest.raises(ValueError, match="at least one other device"):
        transfer(SPACE, POPULATION[:10], times[:10], [])
    with pytest.raises(ValueError, match="measure at least 3"):
        transfer(SPACE, POPULATION[:2], times[:2], sources)


@pytest.mark.parametrize(("options", "noises"), [([], (0.1,)), ([[]], (0.1,)), ([[(np.eye(4), 1.0)]], ())])
def test_no_options_are_refused(options: list, noises: tuple) -> None:
    with pytest.raises(ValueError, match="cannot be learned without a prior"):
        fit_additive(np.zeros((4, 2), int), np.ones(4), [2, 2], options, noises)
