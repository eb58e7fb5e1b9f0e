"""Spaces of widths, depths and resolutions: rates of work are learned from whole networks and price every layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.latency.__main__ import main
from nas.latency.device import Device
from nas.latency.learning.few import few_sample_table
from nas.latency.learning.rates import KINDS, Work, layer_work, learn_rates
from nas.latency.tables.table import LatencyTable
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.pricing.additive import Floats
from search_spaces.space import Population, SearchSpace

RESOLUTIONS = (32, 40, 48, 56, 64)
TRUE = np.array([2e-7, 4e-7, 3e-7, 1e-7, 2e-6, 0, 1e-7, 0.02, 0.05])  # ms per unit of each kind of work


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return fbnetv3(48, num_classes=10, width=0.5, depth=0.5, resolutions=RESOLUTIONS)


def law(space: SearchSpace, population: Population, fixed: float = 1.5) -> Floats:
    """A device whose times follow the work done, written as a fold over each network."""
    archs = [space.decode(genotype) for genotype in population.tolist()]
    return np.array([fixed + sum(float(TRUE @ layer_work(*step)) for step in arch.walk()) for arch in archs])


def drawn(space: SearchSpace, count: int, seed: int) -> Population:
    return space.sample(count, np.random.default_rng(seed))


def error(found: Floats, times: Floats) -> float:
    return float(np.abs(found / times - 1).mean())


def test_a_law_of_work_is_found_at_resolutions_never_timed(space: SearchSpace) -> None:
    """Twelve networks of the smallest and largest images; all between are priced within two percent."""
    genes = drawn(space, 12, 0)
    genes[:, 0] = np.where(np.arange(12) % 2, 0, len(RESOLUTIONS) - 1)  # the first variable is the resolution
    assert space.variables[0].name == "resolution"
    fit = learn_rates(Work.of(space), genes, law(space, genes))
    others = drawn(space, 60, 1)
    others[:, 0] = 1 + np.arange(60) % 3
    assert error(fit.predict(others), law(space, others)) < 0.02


def test_one_network_at_growing_resolutions_never_gets_faster(space: SearchSpace) -> None:
    """Rates are not negative: more pixels never cost less, whatever noise the times had."""
    genes = drawn(space, 8, 2)
    noisy = law(space, genes) * np.exp(np.random.default_rng(3).normal(0, 0.3, 8))
    fit = learn_rates(Work.of(space), genes, noisy)
    assert (fit.rates_ms >= 0).all() and fit.fixed_ms >= 0
    for genotype in drawn(space, 5, 4):
        grown = np.repeat(genotype[None], len(RESOLUTIONS), axis=0)
        grown[:, 0] = np.arange(len(RESOLUTIONS))
        assert (np.diff(fit.predict(grown)) >= 0).all()


def test_a_table_prices_as_its_rates_do(space: SearchSpace) -> None:
    genes, others = drawn(space, 10, 5), drawn(space, 6, 6)
    fit = learn_rates(Work.of(space), genes, law(space, genes))
    table = few_sample_table(space, genes, law(space, genes), [], Device(name="mine"))
    table.check(space)
    assert table.cost(space)(others) == pytest.approx(fit.predict(others), rel=1e-6)
    assert table.proof is not None and table.proof.calibrated.mape_percent < 3


def test_another_devices_table_helps_where_work_does_not_explain(space: SearchSpace) -> None:
    """Times that follow a table of odd rows: ten networks with the like table of another device, and without it."""
    odd = np.random.default_rng(7)
    prices = {step: float(odd.lognormal(-2, 1.0)) for step in space.table_entries()}
    genes, others = drawn(space, 10, 8), drawn(space, 40, 9)
    cost = space.cost(lambda *step: prices[step])
    alone = learn_rates(Work.of(space), genes, 2 + 3 * cost(genes))
    both = learn_rates(Work.of(space, [lambda *step: 0.2 * prices[step]]), genes, 2 + 3 * cost(genes))
    times = 2 + 3 * cost(others)
    assert error(both.predict(others), times) < error(alone.predict(others), times) / 3


def test_kinds_of_work_add_up_to_the_cost(space: SearchSpace) -> None:
    arch = space.decode(drawn(space, 1, 10)[0].tolist())
    done = sum(layer_work(*step) for step in arch.walk())
    assert len(done) == len(KINDS)
    assert done[:4].sum() == arch.cost.macs and done[4] == arch.cost.activations and done[6] == arch.cost.params


def test_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["space=fbnetv3", "space.resolution=32", "space.num_classes=10", "space.resolutions=[32,48,64]"]
    main([*words, "action=sample", "samples=8", "file=mine.csv"])
    lines = Path("mine.csv").read_text().splitlines()
    timed = [line + f"{2 + i}.5" for i, line in enumerate(lines[1:])]
    Path("mine.csv").write_text("\n".join([lines[0], *timed]) + "\n")
    main([*words, "action=learn", "file=mine.csv", "device.name=phone"])
    assert "priced by what the other 7 taught" in " ".join(capsys.readouterr().out.split())
    (path,) = Path("latency_tables").glob("*.json")
    assert min(row.calibrated_ms for row in LatencyTable.load(path).rows_) >= 0
