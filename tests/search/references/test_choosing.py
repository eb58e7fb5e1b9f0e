"""The largest width within a budget is found, by few measurements, however wrong the first guess is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nas.derive.verdict import Asked
from nas.latency.measuring.network_time import NetworkTime
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
    assert found and found["one"][1].latency_ms <= 1.0 + guesses[12]


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
