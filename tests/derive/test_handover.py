"""`derived.json`: what a search derived and measured is kept for its continuation, and for that alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.derive.budget import Budget
from nas.derive.handover import (
    Derivation,
    clock_of,
    derivation_identity,
    derive_ranked,
    derived_once,
    propose_ranked,
    read_probabilities,
    write_probabilities,
)
from nas.derive.most_probable import NothingWithin
from nas.derive.verdict import Asked
from nas.derive.within_budget import ENOUGH, Derived
from nas.latency.device import Device
from nas.latency.devices.local import LocalDevice
from nas.latency.measuring.network_time import NetworkTime
from search_spaces.arch import Arch
from search_spaces.families.fbnet import fbnet
from search_spaces.memory.counted import Counted
from search_spaces.pricing.limits import Limit
from search_spaces.recipe import Recipe
from tests.methods.candidates.pretended import joint_space

pytestmark = pytest.mark.usefixtures("light_studies")

BASE = Recipe(epochs=1, batch_size=64, lr=0.01)
SPACE = joint_space(BASE)
LOCAL = LocalDevice()


def test_what_was_derived_is_kept_and_derived_anew_from_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best is measured 30% over; the next below the lowered limit leaves much of the budget; the third stays.

    The third is the first in rank below the mean of both limits.
    """
    cost = SPACE.cost(lambda layer, shape: layer.cost(shape).macs / 1e5)
    population = SPACE.sample(30, np.random.default_rng(3))
    estimates = cost(population)
    slowdown = {SPACE.decode(population[0]).id: 1.3}
    measured: list[str] = []

    def measure(archs: list[Arch], device: Device, calm: object, seed: int) -> list[NetworkTime]:
        (arch,) = archs
        measured.append(arch.id)
        ms = slowdown.get(arch.id, 1.0) * float(cost(np.array([SPACE.encode(arch, BASE)]))[0])
        return [NetworkTime(ms, ms, 0.0)]

    monkeypatch.setattr("nas.latency.measuring.networks.measure_networks", measure)
    asked = float(estimates[0])
    budget = Budget(asked, asked, 0.0, *cost.reachable())

    def derived(
        budget: Budget = budget, ranked: Any = population, cost: Any = cost, device: LocalDevice = LOCAL, **changes: Any
    ) -> Derived:
        measured.clear()
        asked = Derivation(**{"mode": "budget", "use": 0.9, "count": 1, "rounds": 3, "seed": 0, **changes})
        depends = derivation_identity(ranked.tolist(), SPACE, cost, device, Asked(budget, (), Counted()), asked)
        clock = clock_of(SPACE, cost, lambda arch: LocalDevice().measure([arch], None, 0)[0])
        return derived_once(tmp_path, SPACE, depends, lambda: derive_ranked(ranked, cost, clock, budget, asked))

    lowered, fits = (np.flatnonzero(estimates <= limit) for limit in (asked / 1.3, (asked / 1.3 + asked) / 2))
    assert estimates[lowered[0]] < ENOUGH * asked < estimates[fits[0]]  # so this draw has them both
    found = derived()
    assert measured == [SPACE.decode(population[i]).id for i in (0, lowered[0], fits[0])]
    np.testing.assert_array_equal(found.first.genotype, population[fits[0]])
    assert found.rounds == 3 and found.first.measured_ms is not None and found.first.measured_ms <= asked
    assert derived() == found and not measured
    dearer = dataclasses.replace(cost, fixed=cost.fixed + 1e-9)
    for changes, words in (
        ({"count": 2}, "count is 1, asked is 2"),
        ({"mode": "sample"}, 'mode is "budget"'),
        ({"use": 0.5}, "use is 0.9"),
        ({"seed": 1}, "seed is 0"),
        ({"rounds": 4}, "rounds is 3"),
        ({"budget": dataclasses.replace(budget, tolerance=0.5)}, "budget.tolerance is 0.0"),
        ({"ranked": population[1:]}, "result is"),
        ({"cost": dearer}, "cost is"),
        ({"device": LocalDevice("desk")}, 'device is "local-onnxruntime-fp32-b1-t1"'),
    ):
        derived()
        capsys.readouterr()
        derived(**changes)  # type: ignore[arg-type]
        said = " ".join(capsys.readouterr().out.split())
        assert measured and words in said and "deriving anew" in said, said
    derived()
    content = json.loads((tmp_path / "derived.json").read_text())
    for damage in ('{"genotypes": [[0]]}', "[]", json.dumps({**content, "rounds": content["rounds"] + 1})):
        (tmp_path / "derived.json").write_text(damage)
        with pytest.raises(ValueError, match=r"derived\.json does not hold derived networks: .*remove it"):
            derived()


def test_a_theta_of_another_space_is_refused(tmp_path: Path) -> None:
    """The same positions with the same labels, at another width."""
    one, other = (fbnet(16, 10, 1, width=width, head_channels=32) for width in (0.25, 0.5))
    write_probabilities(tmp_path, one, [np.full(len(v), 1 / len(v)) for v in one.variables])
    assert len(read_probabilities(tmp_path, one)) == len(one.variables)
    with pytest.raises(
        ValueError, match=r"theta\.json is not the outcome of a search of fbnet as .*config\.yaml has it"
    ):
        read_probabilities(tmp_path, other)


def test_without_a_candidate_within_the_budgets_there_is_nothing_to_derive() -> None:
    with pytest.raises(NothingWithin, match="no trained candidate is within the budgets"):
        propose_ranked(np.zeros((0, 3), dtype=np.int64), None)(np.inf, 1)


def test_every_budget_belongs_to_what_was_derived() -> None:
    asked = Derivation("budget", 0.9, 1, 3, 0)
    found = []
    for dtype, kib in (("fp32", 64.0), ("fp32", 65.0), ("int8", 64.0), (None, None)):
        counted = Counted(dtype or "fp32")
        limits = () if kib is None else (Limit("memory_kib", SPACE.memory_kib(counted), kib),)
        found.append(derivation_identity([], SPACE, None, None, Asked(None, limits, counted), asked))
    assert all(a != b for i, a in enumerate(found) for b in found[:i])
