"""The fit of a table to whole networks."""

from __future__ import annotations

import numpy as np
import pytest

from nas.latency.show import offset_sentence
from nas.latency.tables.calibrate import FREE, LEAST_SHARE, Rows, Strength, _effects, calibrate
from nas.latency.tables.proof import Errors, Proof, noise_ceiling


def world(networks: int, noise: float, seed: int = 0) -> tuple[Rows, np.ndarray, np.ndarray]:
    """A device on which whole networks cost a fixed 0.4 ms plus blocks that run faster in context, by kind."""
    rng = np.random.default_rng(seed)
    size = 60
    true = rng.uniform(0.05, 0.5, size)
    kinds = ["a" if i % 3 else "b" for i in range(size)]
    elements = rng.uniform(1e3, 1e4, size)
    isolated = true * np.where(np.array(kinds) == "a", 1.0, 1.2) + 0.03 + elements * 5e-6
    isolated[7] = true[7] = 0.0  # an identity
    counts = np.zeros((networks, size))
    for row in counts:
        np.add.at(row, rng.integers(0, size, 22), 1)
    measured = (0.4 + counts @ true) * (1 + noise * rng.standard_normal(networks))
    return Rows(isolated, kinds, elements, np.zeros(size)), counts, measured


def test_learns_the_difference_between_isolated_and_whole() -> None:
    rows, counts, measured = world(80, noise=0.005)
    fit = calibrate(rows, counts[:40], measured[:40])
    estimate = fit.offset_ms + counts[40:] @ fit.row_ms
    raw = Errors.of(counts[40:] @ rows.ms, measured[40:])
    calibrated = Errors.of(estimate, measured[40:])
    assert raw.mape_percent > 10
    assert calibrated.mape_percent < 1.5
    assert calibrated.kendall_tau > 0.93
    assert 0.3 * calibrated.mape_percent < fit.loo_mape_percent < 3 * calibrated.mape_percent


def test_identity_stays_free_and_no_time_is_negative() -> None:
    rows, counts, measured = world(40, noise=0.2)
    fit = calibrate(rows, counts, measured)
    assert fit.row_ms[7] == 0
    assert (np.delete(fit.row_ms, 7) > 0).all()


def test_no_network_is_free_however_noisy_the_times() -> None:
    for seed in range(20):
        rows, counts, measured = world(8, noise=0.5, seed=seed)
        counts[:, 0] = 1  # a stem
        fit = calibrate(rows, counts, np.abs(measured))
        assert fit.offset_ms + fit.row_ms[0] > 0, (seed, fit.model)


def test_exact_sums_are_left_alone() -> None:
    rows, counts, _ = world(30, noise=0.0)
    fit = calibrate(rows, counts, counts @ rows.ms)
    assert fit.model == "scale"
    np.testing.assert_allclose(fit.row_ms, rows.ms, rtol=1e-3)


def test_few_networks_fit_a_scale_only() -> None:
    rows, counts, measured = world(2, noise=0.0)
    fit = calibrate(rows, counts, measured)
    assert fit.model == "scale"
    assert fit.offset_ms == 0
    with pytest.raises(ValueError, match="at least one"):
        calibrate(rows, counts[:0], measured[:0])


def test_proof_figures() -> None:
    measured = np.array([1.0, 2.0, 4.0, 8.0])
    estimates = np.array([1.04, 1.88, 4.0, 7.0])
    proof = Proof.of(measured * 1.5, estimates, (measured, measured), measured, fit_networks=3)
    errors = proof.calibrated
    assert errors.mape_percent == pytest.approx(100 * (0.04 + 0.06 + 0 + 0.125) / 4)
    assert (errors.within_5_percent, errors.within_10_percent) == (50, 75)
    assert errors.kendall_tau == 1
    assert proof.raw.mape_percent == pytest.approx(50)
    assert proof.margin == pytest.approx(np.quantile(measured / estimates - 1, 0.9))
    assert len(proof.faults) == 2
    assert "POOR" in proof.sentence()
    assert Proof.from_dict(proof.to_dict()) == proof
    good = Proof.of(measured, measured * 1.01, (measured, measured), measured, fit_networks=3)
    assert good.faults == []
    assert good.margin == 0


@pytest.mark.parametrize("seed", range(10))
def test_the_stated_error_covers_rows_that_had_to_be_raised(seed: int) -> None:
    """Cheap blocks that cost nothing inside a network (they are fused) drive fitted rows below their least share."""
    rng = np.random.default_rng(seed)
    size = 12
    isolated = np.concatenate([rng.uniform(0.3, 0.6, 6), np.full(6, 0.05)])
    true = isolated * np.concatenate([np.full(6, 0.95), np.zeros(6)])
    counts = np.zeros((40, size))
    for row in counts:
        np.add.at(row, rng.integers(0, 6, 4), 1)
        np.add.at(row, rng.integers(6, size, 12), 1)
    measured = (counts @ true) * (1 + 0.005 * rng.standard_normal(40))
    rows = Rows(isolated, ["a"] * 6 + ["b"] * 6, np.concatenate([np.full(6, 5e3), np.full(6, 1e3)]), np.zeros(12))
    fit = calibrate(rows, counts, measured)
    error = 100 * np.abs((fit.offset_ms + counts @ fit.row_ms) / measured - 1).mean()
    assert error <= fit.loo_mape_percent + 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_networks_that_share_no_row_may_save_what_calls_cost(seed: int) -> None:
    """Each block timed alone pays for a call, networks of 3 to 20 blocks pay for none: a saving that grows with them,
    beside which an offset is zero, above or below by chance."""
    rng = np.random.default_rng(seed)
    size, call = 200, 0.004
    true = np.exp(rng.uniform(np.log(0.001), np.log(0.3), size))
    counts = np.zeros((64, size))
    for row in counts:
        blocks = rng.permutation(size)[: rng.integers(3, 20)]
        np.add.at(row, blocks[np.argsort(true[blocks])][: len(blocks) - (rng.random() < 0.5)], 1)
    assert not counts[:24].min(axis=0).any()
    measured = (counts @ true) * (1 + 0.01 * rng.standard_normal(64))
    weights = np.exp(rng.uniform(np.log(100), np.log(1e6), size))
    for per_weight in (0.0, 1e-7):  # parameters that a layer timed alone has in the cache, and in a network fetches
        whole = measured + counts @ (per_weight * weights)
        rows = Rows(true + call, ["a"] * size, rng.uniform(1e3, 1e4, size), weights)
        fit = calibrate(rows, counts[:24], whole[:24])
        unseen = Errors.of(fit.offset_ms + counts[24:] @ fit.row_ms, whole[24:])
        assert Errors.of(counts[24:] @ rows.ms, whole[24:]).mape_percent > 5
        assert unseen.mape_percent < 2, fit.model
        assert 0.4 * unseen.mape_percent < fit.loo_mape_percent < 2.5 * unseen.mape_percent
        assert not per_weight or "weights" in fit.model


def test_the_stated_error_is_that_of_fits_without_the_network() -> None:
    """Of the model and noise chosen, where fitted rows are raised to their least share."""
    rng = np.random.default_rng(3)
    isolated = np.concatenate([rng.uniform(0.3, 0.6, 6), np.full(6, 0.05)])
    counts = rng.integers(0, 4, (16, 12)).astype(float)
    measured = counts[:, :6] @ isolated[:6] * (1 + 0.02 * rng.standard_normal(16))
    rows = Rows(isolated, ["a"] * 6 + ["b"] * 6, np.ones(12), np.zeros(12))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.latency.tables.calibrate.MODELS", (Strength("kinds", constant=0.3, kind=0.3),))
        patch.setattr("nas.latency.tables.calibrate.NOISE", (0.01,))
        fit = calibrate(rows, counts, measured)
        errors = []
        for left in range(16):
            others = np.arange(16) != left
            effects, prior = _effects(rows, Strength("kinds", constant=0.3, kind=0.3))
            columns = np.column_stack([np.ones(16), counts @ effects]) / measured[:, None]
            columns = columns * np.concatenate([[FREE * np.median(measured)], prior])
            target = 1 - counts @ isolated / measured
            found = np.linalg.solve(
                columns[others].T @ columns[others] + 1e-4 * np.eye(columns.shape[1]),
                columns[others].T @ target[others],
            ) * np.concatenate([[FREE * np.median(measured)], prior])
            raised = np.maximum(isolated + effects @ found[1:], LEAST_SHARE * isolated)
            errors.append(abs((found[0] + counts[left] @ raised) / measured[left] - 1))
    assert fit.loo_mape_percent == pytest.approx(100 * np.mean(errors), rel=1e-3)


@pytest.mark.parametrize("noise", [0.002, 0.02, 0.2])
def test_noise_ceiling_is_what_the_truth_reaches(noise: float) -> None:
    """Mean over many proofs, of ranks and of errors: neither what the halves agree on, which is less, nor all."""
    rng = np.random.default_rng(0)
    best, reached, errors = [], [], []
    for _ in range(200):
        true = rng.uniform(1.0, 2.0, 40)
        halves = true * np.exp(noise * rng.standard_normal((2, 40)))
        measured = np.sqrt(halves[0] * halves[1])
        proof = Proof.of(true, np.full(40, 1.5), (halves[0], halves[1]), measured, fit_networks=3)
        assert proof.best_tau is not None and proof.ceiling is not None
        best.append(proof.best_tau)
        reached.append(Errors.of(true, measured).kendall_tau)
        errors.append((proof.ceiling.mape_percent, Errors.of(true, measured).mape_percent))
    assert np.mean(best) == pytest.approx(np.mean(reached), abs=0.03)
    assert np.mean(errors, axis=0)[0] == pytest.approx(np.mean(errors, axis=0)[1], rel=0.1)


def test_noise_ceiling_by_hand() -> None:
    """Halves that differ by factors of 1.21 and 1 / 1.21: a timing is off by 10% up or 1 / 11 down."""
    measured = np.array([1.0, 10.0, 100.0, 1000.0])
    halves = measured * np.array([1.21, 1, 1, 1.21]), measured * np.array([1, 1.21, 1.21, 1])
    found = noise_ceiling(halves, measured)
    assert found.kendall_tau == 1.0
    assert found.mape_percent == pytest.approx(100 * (1 - 1 / 1.1 + 0.1) / 2)


def test_a_table_that_is_better_than_its_noise_ceiling_raises_it() -> None:
    errors, noise = Errors(2.0, 95, 100, 0.867, 0.9), Errors(4.0, 80, 95, 0.367, 0.5)
    proof = Proof(16, 24, errors, errors, noise, 0.02, "whole")
    assert proof.best_tau == 0.867 and not proof.faults
    assert Proof.from_dict(proof.to_dict()) == proof
    assert "noise alone" in str(proof.table())
    with pytest.raises(ValueError, match=r"proof\.footing must be halves or whole"):
        Proof.from_dict({**proof.to_dict(), "footing": "x"})


def test_no_noise_ceiling_is_shown_below_what_the_table_reaches() -> None:
    errors = Errors(2.0, 95, 100, 0.867, 0.9)
    assert Proof(16, 24, errors, errors, Errors(4.0, 80, 95, 0.367, 0.5), 0.02).best_tau is None
    for ceiling in (Errors(4.0, 80, 95, 0.367, 0.5), Errors(9.0, 80, 95, -0.1, 0.0), None):
        proof = Proof(16, 24, errors, errors, ceiling, 0.02)
        assert "noise ceiling unknown" in proof.sentence()
        assert Proof.from_dict(proof.to_dict()) == proof
        assert ("timed twice" in str(proof.table())) == (ceiling is not None)


def test_an_offset_below_zero_is_explained() -> None:
    assert offset_sentence(0.25) == "0.25 ms that every network takes beside them"
    assert offset_sentence(-0.008149) == (
        "0.008149 ms that every network saves, as its blocks are called together and not one by one"
    )
