"""Images that are not square: one form per size, in archs, spaces, their files and what is read of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from nas.latency.device import Device
from nas.latency.imports.positions import read_hwnasbench
from nas.latency.learning.learn import work
from nas.latency.tables.table import table_path
from predictors.encoding import Encoding
from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.choices import Chain
from search_spaces.families.fbnet import fbnet
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.families.geometry import geometry_of, is_tiny
from search_spaces.families.mobilenetv2.space import mobilenetv2
from search_spaces.resolution import Size, canonical, pixels, size
from search_spaces.space import Variable


def test_a_size_has_one_form() -> None:
    assert canonical(32) == canonical([32, 32]) == canonical(Size(32, 32)) == 32
    assert isinstance(canonical((32, 32)), int)
    assert canonical([40, 101]) == canonical((40, 101)) == Size(40, 101) != canonical([101, 40])
    assert f"{canonical([40, 101])}" == "40x101" and f"{canonical([8, 8])}" == "8"
    assert (size(7), size(Size(1, 9)), pixels(7), pixels(Size(4, 9))) == ((7, 7), (1, 9), 49, 36)
    assert json.dumps(canonical([40, 101])) == "[40, 101]"


@pytest.mark.parametrize("value", [0, -1, True, 2.5, "32", None, [], [32], [40, 0], [40, "a"], [1, 2, 3], [[1, 2], 3]])
def test_what_is_no_size_is_refused_by_the_form_that_is_expected(value: Any) -> None:
    with pytest.raises(ValueError, match=r"space.x must be a whole number >= 1, or \[height, width\], in pixels; got "):
        canonical(value, "space.x")
    with pytest.raises(ValueError, match=r"resolution must be a whole number >= 1, or \[height, width\]"):
        Arch(value, zoo.published("fbnetc_100").stages)


def test_files_of_square_networks_are_as_they_were() -> None:
    square, oblong = (Arch(given, zoo.published("spnasnet_100").stages) for given in ([32, 32], [40, 32]))
    assert square.to_json().startswith('{"format": "nas.arch", "version": 1, "resolution": 32, "in_channels": 3, ')
    assert square.id == Arch(32, square.stages).id
    assert oblong.to_json().startswith('{"format": "nas.arch", "version": 1, "resolution": [40, 32], "in_channels": 3,')
    assert Arch.from_json(oblong.to_json()) == oblong and oblong.input_shape == (3, 40, 32)
    listed = json.loads(square.to_json()) | {"resolution": [32, 32]}
    assert Arch.from_dict(listed) == square  # another spelling, not another network
    for wrong, message in (([40], "whole number >= 1, or"), ([1, 2**17], "at most 65536, got 131072")):
        with pytest.raises(ValueError, match=f"resolution must be .*{message}"):
            Arch.from_dict(listed | {"resolution": wrong})


def test_maps_of_height_1_do_not_vanish() -> None:
    for arch in (zoo.published("fbnetc_100", 6, Size(1, 200), 9), zoo.published("rexnet_100", 6, Size(1, 200), 9)):
        shapes = [shape for _, shape in arch.walk()]
        assert {shape.height for shape in shapes} == {1}
        assert shapes[0].width == 200 and min(shape.width for shape in shapes[:-1]) == 7


def test_geometry_follows_the_number_of_pixels() -> None:
    assert geometry_of([64, 66], "auto", "X") == "small" == geometry_of([1, 4000], "auto", "X")  # 65 x 65 = 4225
    assert geometry_of([65, 66], "auto", "X") == "paper" == geometry_of([1, 16000], "auto", "X")
    assert is_tiny([49, 10]) and is_tiny(23) and not is_tiny([24, 25]) and not is_tiny(24)
    assert fbnet([49, 10]).skeleton.stages[0][0] == fbnet(16).skeleton.stages[0][0]
    mixed = fbnetv3(resolutions=[224, [49, 10]])  # the smallest decides
    assert (
        mixed.decode([0] * len(mixed.variables)).stages == fbnetv3(16).decode([0] * (len(mixed.variables) - 1)).stages
    )


def test_sizes_are_searched_like_other_choices() -> None:
    space = mobilenetv2(resolutions=[[40, 101], [20, 51], 32])
    assert space.variables[0].choices == (Size(40, 101), Size(20, 51), 32)
    genotype = (1, *space.sample(1, np.random.default_rng(0))[0][1:])
    assert space.decode(genotype).input_shape == (3, 20, 51)
    assert space.encode(space.decode(genotype))[0] == 1
    table = Encoding(space.variables).tables[0][:, 0]  # by the side of the square with as many pixels
    sides = np.sqrt([40 * 101, 20 * 51, 32 * 32])
    np.testing.assert_allclose(table, (sides - sides.min()) / (sides.max() - sides.min()))
    turned = Variable("resolution", (Size(40, 20), Size(20, 40), 64), ordered=True)
    assert Encoding([turned]).width == 3  # one number would not tell two of them apart
    with pytest.raises(ValueError, match="resolutions: each must be a whole number >= 1, or"):
        mobilenetv2(resolutions=[[40, 101, 3]])
    with pytest.raises(ValueError, match="resolution needs a list of different choices"):
        Chain("x", [32, [32, 32]], 1)


def test_tables_of_spaces_are_told_apart() -> None:
    def name(resolution: Any) -> str:
        return table_path("t", fbnet(resolution, 12, 1), Device()).name

    assert name([40, 101]).startswith("fbnet-r40x101-") and name([101, 40]).startswith("fbnet-r101x40-")
    assert name(32).startswith("fbnet-r32-") and name([32, 32]) == name(32)


def test_what_reads_the_side_of_a_map_reads_its_pixels() -> None:
    turned = [work(fbnet(given, 12, 1, candidates=("k3_e1", "k3_e3"))) for given in ([40, 80], [80, 40])]
    np.testing.assert_allclose(*turned)


def test_a_table_for_square_images_is_not_imported_for_others(tmp_path: Any) -> None:
    space = fbnet(32, 100, head_channels=1504)
    layers = [
        {"h_in": p.shape.height, "c_in": p.shape.channels, "c_out": p.candidates[0].out_shape(p.shape).channels}
        for p in space.positions
    ]
    ops = list(space.positions[0].labels)
    times = [
        [1.0 if op != "skip" or p.candidates[-1].table_row(p.shape) else 0.0 for op in ops] for p in space.positions
    ]
    data = {"units": "ms", "ops": ops, "layers": layers, "devices": {"x": {"base_ms": 0.0, "table_ms": times}}}
    (tmp_path / "lut.json").write_text(json.dumps(data))
    options: dict[str, Any] = {"device": Device(name="x"), "source": "x", "unit": None, "repair": False}
    read_hwnasbench(tmp_path / "lut.json", space=space, **options)
    with pytest.raises(ValueError, match="output channels 32, 16, 16, fbnet has 32x40, 16, 16; this"):
        read_hwnasbench(tmp_path / "lut.json", space=fbnet([32, 40], 100, head_channels=1504), **options)
