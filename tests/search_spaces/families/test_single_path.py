"""The Single-Path NAS space: its size, its geometry, its published network, and the Pixel 1 table's totals."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from nas.latency.device import Device
from nas.latency.imports import import_file
from search_spaces.families.single_path import published, single_path
from search_spaces.pricing.additive import price

PIXEL = Path(__file__).parents[2] / "fixtures" / "single-path-nas" / "pixel1_runtime_model.json"
K3E3, K3E6, K5E3, K5E6, SKIP = range(5)
OPTIONAL = [i % 4 > 0 for i in range(20)]


def test_the_papers_space() -> None:
    space = single_path()
    assert space.size == 4**5 * 5**15
    assert [len(variable) == 5 for variable in space.variables] == OPTIONAL
    assert space.positions[1].labels == ("k3_e3", "k3_e6", "k5_e3", "k5_e6", "skip")


def test_spnasnet_is_a_point_of_the_space() -> None:
    space = single_path()
    arch = published("spnasnet_100")
    genotype = space.encode(arch)
    assert genotype == (0, 0, 0, 4, 3, 0, 0, 0, 3, 0, 0, 0, 3, 2, 2, 2, 3, 3, 3, 3)
    assert space.decode(genotype) == arch
    assert (arch.params, arch.macs) == (4_421_616, 333_467_072)


def test_every_choice_of_every_block_survives_the_round_trip() -> None:
    space = single_path()
    for i, variable in enumerate(space.variables):
        for gene in range(len(variable)):
            genotype = [K5E6] * 20
            genotype[i] = gene
            arch = space.decode(genotype)
            assert space.encode(arch) == tuple(genotype)
            assert [layer for stage in arch.stages[2:-2] for layer in stage][i].label == variable.choices[gene]


def test_pixel_1_totals() -> None:
    """The figures of the Pixel 1 runtime model, with exact entries (the ratio approximation: tests/search)."""
    space = single_path()
    table = import_file("single_path", PIXEL, space=space, device=Device(name="pixel1"))
    smallest = [SKIP if optional else K3E3 for optional in OPTIONAL]
    genotypes = [[K5E6] * 20, [K3E6] * 20, [K5E3] * 20, [K3E3] * 20, smallest]
    genotypes.append(list(space.encode(published("spnasnet_100"))))
    estimates = [table.estimate_ms(space.decode(genotype)) for genotype in genotypes]
    assert [round(ms, 2) for ms in estimates] == [131.46, 110.65, 76.36, 65.69, 30.63, 80.44]
    np.testing.assert_allclose(price(np.array(genotypes), *table.rows(space)), estimates)


def test_small_images_keep_a_map_of_several_pixels() -> None:
    for resolution, sides in ((32, [32, 16, 8, 8, 4]), (16, [16, 8, 4, 4, 2]), (224, [56, 28, 14, 14, 7])):
        positions = single_path(resolution).positions
        assert [p.candidates[0].out_shape(p.shape).height for p in positions[3::4]] == sides
    assert single_path(32, geometry="paper").positions[-1].shape.height == 1
    assert single_path(16).positions[-1].shape.channels == 96
    assert single_path(16, width=1.0).positions[-1].shape.channels == 192


def test_further_choices() -> None:
    space = single_path(32, kernels=(3, 5, 7), expansions=(2, 3, 4, 6), se_ratios=(0, 0.25), skip=False)
    assert space.size == (3 * 4 * 2) ** 20
    labels = space.positions[7].labels
    assert set(labels) == {f"k{k}_e{e}{s}" for k, e, s in itertools.product((3, 5, 7), (2, 3, 4, 6), ("", "_se"))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernels": ()}, "kernels must be a list of different numbers"),
        ({"expansions": (3, 3)}, r"expansions must be a list of different numbers, got \[3, 3\]"),
        ({"kernels": (4,)}, "kernel_size must be odd"),
        ({"geometry": "tiny"}, "unknown Single-Path geometry 'tiny'; one of auto, paper, small"),
        ({"width": 0.0}, "width must be a finite number > 0"),
    ],
)
def test_bad_settings(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        single_path(32, **changes)
