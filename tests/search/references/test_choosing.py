"""The largest width within a budget is found, by few measurements, however wrong the first guess is."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from nas.derive.verdict import Asked
from nas.latency.measuring.network_time import NetworkTime
from nas.search.references import pricing
from nas.search.references.choosing import Hunt, Width, hunted, widths_of, within_counts
from nas.search.references.request import Family
from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.families.hand_made.scaling import fitted
from search_spaces.memory.counted import Counted
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.limits import Limit

FAMILY = Family("mobilenetv2", fitted(zoo.published("mobilenetv2_100"), 28, 10, 1), is_scaled=True)


def asked(**limits: float) -> Asked:
    nothing = AdditiveCost(0.0, (), (), ())
    return Asked(None, tuple(Limit(name, nothing, limit) for name, limit in limits.items()), Counted())


@pytest.mark.parametrize("seed", range(20))
def test_the_largest_width_that_fits_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    widths = [Width(multiplier, arch) for multiplier, arch in FAMILY.ladder]
    guesses = [arch.macs / 1e9 for _, arch in FAMILY.ladder]
    factors = np.exp(
        np.cumsum(rng.normal(0, 0.01, len(widths))) + rng.normal(0, 1)
    )  # a guess wrong in scale, and drifting
    times = np.maximum.accumulate(np.array(guesses) * factors)
    ceiling = float(np.exp(rng.uniform(np.log(times[0] / 1.2), np.log(times[-1] * 1.2))))
    measured: list[Arch] = []

    def times_of(archs: Sequence[Arch]) -> dict[str, NetworkTime]:
        measured.extend(archs)
        known = {width.arch.id: NetworkTime(ms, ms, 0.0) for width, ms in zip(widths, times.tolist(), strict=True)}
        return {arch.id: known[arch.id] for arch in archs}

    found = hunted({"one": Hunt(widths, guesses, ceiling)}, times_of)
    fitting = np.flatnonzero(times <= ceiling)
    assert len(measured) <= 8 and len({arch.id for arch in measured}) == len(measured)
    if not len(fitting):
        assert not found and measured[-1] == widths[0].arch
        return
    _, time = found["one"]
    assert time.latency_ms <= ceiling
    assert time.latency_ms == times[fitting[-1]]


def test_a_guess_that_is_worse_the_narrower_the_network_is_found_out() -> None:
    """Such as one that counts no activations: of a millisecond that no width changes it knows nothing."""
    widths = [Width(multiplier, arch) for multiplier, arch in FAMILY.ladder]
    guesses = [arch.macs / 1e9 for _, arch in FAMILY.ladder]
    times = {width.arch.id: 1.0 + guess for width, guess in zip(widths, guesses, strict=True)}

    def times_of(archs: Sequence[Arch]) -> dict[str, NetworkTime]:
        return {arch.id: NetworkTime(times[arch.id], 1.0, 0.0) for arch in archs}

    found = hunted({"one": Hunt(widths, guesses, 1.0 + guesses[12])}, times_of)
    assert found and found["one"][1].latency_ms == 1.0 + guesses[12]


@pytest.mark.parametrize("exponent", [0.3, 0.6, 1.5, 2.5])
@pytest.mark.parametrize("factor", [0.03, 0.2, 1.0, 5.0, 30.0])
@pytest.mark.parametrize("fitting", [0, 1, 20, 45, 62, 63])
def test_a_guess_that_is_wrong_by_a_factor_that_grows_with_width_costs_measurements_alone(
    exponent: float, factor: float, fitting: int
) -> None:
    """Weights that come from memory take ten times what isolated rows say: the narrowest network fits, the one guessed
    to fit takes ten times the budget, and what fits lies between."""
    widths = [Width(multiplier, arch) for multiplier, arch in FAMILY.ladder]
    times = [arch.macs / 1e9 for _, arch in FAMILY.ladder]
    guesses = [factor * ms**exponent for ms in times]
    known = {width.arch.id: NetworkTime(ms, ms, 0.0) for width, ms in zip(widths, times, strict=True)}
    measured: list[Arch] = []

    def times_of(archs: Sequence[Arch]) -> dict[str, NetworkTime]:
        measured.extend(archs)
        return {arch.id: known[arch.id] for arch in archs}

    found = hunted({"one": Hunt(widths, guesses, times[fitting] * 1.0001)}, times_of)
    assert found["one"][0] is widths[fitting]
    assert len(measured) <= 12 and len({arch.id for arch in measured}) == len(measured)


def test_all_families_are_measured_together() -> None:
    jobs: list[int] = []
    widths = [Width(multiplier, arch) for multiplier, arch in FAMILY.ladder][:20]
    guesses = [width.arch.macs / 1e9 for width in widths]

    def times_of(archs: Sequence[Arch]) -> dict[str, NetworkTime]:
        jobs.append(len(archs))
        return {arch.id: NetworkTime(arch.macs / 1e9, 1.0, 0.0) for arch in archs}

    ceiling = guesses[10] * 1.001
    found = hunted({name: Hunt(widths, guesses, ceiling) for name in "abc"}, times_of)
    assert jobs in ([3], [3, 3]) and {width.multiplier for width, _ in found.values()} == {widths[10].multiplier}


@pytest.mark.parametrize("name", ["macs", "params", "memory_kib", "weights_kib"])
def test_budgets_on_counts_hold_of_every_width(name: str) -> None:
    middle = FAMILY.ladder[30][1]
    has = {"macs": middle.macs, "params": middle.params}
    has |= {"memory_kib": middle.memory_kib(Counted()), "weights_kib": middle.weights_kib(Counted())}  # type: ignore[dict-item]
    limits = asked(**{name: has[name]})
    widths = widths_of(FAMILY, limits)
    assert all(within_counts(width.arch, limits) for width in widths)
    assert widths[-1].multiplier is not None and widths[-1].multiplier >= FAMILY.ladder[30][0]  # type: ignore[operator]
    wider = FAMILY.ladder[len(widths)][1]
    assert not within_counts(wider, limits)
    assert len(widths_of(FAMILY, asked())) == len(FAMILY.ladder)


@pytest.mark.parametrize(("factor", "widest"), [(0.9, 1.0), (1.3, 1.0), (9.0, None)])
def test_what_its_estimate_lets_in_is_narrowed_where_it_measures_above_the_budget(
    factor: float, widest: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times are `factor` times the estimates, whose limit keeps a margin below the budget."""
    counter = pricing._Pricing.__new__(pricing._Pricing)
    estimates = {arch.id: arch.macs / 1e6 for _, arch in FAMILY.ladder}
    smallest, at_width = (FAMILY.ladder[0][1].macs / 1e6, FAMILY.ladder[20][1].macs / 1e6)
    asked_ms = 1.05 * at_width if widest else 5 * smallest
    counter.asked = SimpleNamespace(  # type: ignore[assignment]
        latency=SimpleNamespace(limit_ms=asked_ms / 1.05, ceiling_ms=asked_ms, asked_ms=asked_ms)
    )
    counter.table = SimpleNamespace(estimate_ms=lambda arch: estimates[arch.id])  # type: ignore[assignment]
    counter.device = counter.table  # type: ignore[assignment]
    counter.setup = SimpleNamespace(problem=SimpleNamespace(space=SimpleNamespace(architectures=None)))  # type: ignore[assignment]
    counter.known = {arch: NetworkTime(factor * ms, factor * ms, 0.0) for arch, ms in estimates.items()}
    counter.left_out, counter.measured, counter.why_not = {}, 0, ""
    monkeypatch.setattr(pricing.FirstGuess, "of", lambda table: None)
    monkeypatch.setattr(pricing, "is_point", lambda space, arch: False)
    found = counter._at_latency({"mobilenetv2": [Width(*width) for width in FAMILY.ladder]})
    if widest is None:
        assert not found and counter.left_out == {"mobilenetv2": f"at its least width it is above {asked_ms:.4g} ms"}
        return
    reference = found["mobilenetv2"]
    assert reference.measured is not None and reference.measured.latency_ms <= asked_ms
    within = [arch for _, arch in FAMILY.ladder if max(1.0, factor / 1.05) * estimates[arch.id] <= asked_ms / 1.05]
    assert reference.arch == within[-1]
