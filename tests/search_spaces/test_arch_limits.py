"""Archs larger than any network are refused before they are built, and networks larger than the machine when built."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.networks.creation import create_model
from nas.networks.network import build_network
from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, LinearBottleneck, SqueezeExcite

GOOD = zoo.published("fbnetv3_b").to_dict()


def block(data: dict[str, Any]) -> dict[str, Any]:
    return next(layer for stage in data["stages"] for layer in stage if "num_depthwise" in layer and layer["se"])


CASES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "many layers": (lambda d: d["stages"].insert(1, [d["stages"][1][0]] * 10**6), "at most 2000 layers, got 10000"),
    "stacked": (lambda d: block(d).update(num_depthwise=10**5), "num_depthwise must be at most 16, got 100000"),
    "channels": (
        lambda d: block(d).update(out_channels=2**40),
        "out_channels must be at most 16777216, got 1.09951e+12",
    ),
    "classes": (lambda d: d["stages"][-1][-1].update(num_classes=2**62), "num_classes must be at most 16777216"),
    "resolution": (lambda d: d.update(resolution=10**9), "resolution must be at most 65536, got 1e+09"),
    "input": (lambda d: d.update(in_channels=2**31), "in_channels must be at most 16777216"),
    "ratio": (lambda d: block(d).update(expand_ratio=1e300), "expand_ratio must be > 0 and at most 1000, got 1e+300"),
    "squeeze": (lambda d: block(d)["se"].update(ratio=1e300), "ratio must be > 0 and at most 1000, got 1e+300"),
    "kind": (lambda d: block(d).update(kind={}), "unknown layer kind {}"),
}


@pytest.mark.parametrize("case", CASES)
def test_sizes_no_network_has_are_refused_before_building(case: str) -> None:
    change, words = CASES[case]
    data = copy.deepcopy(GOOD)
    change(data)
    began = time.process_time()
    with pytest.raises(ValueError) as caught:
        Arch.from_dict(data)
    assert words in str(caught.value) and time.process_time() - began < 0.5


def test_a_file_too_large_for_an_arch_is_not_read(tmp_path: Path) -> None:
    data = {**GOOD, "stages": [GOOD["stages"][0], [GOOD["stages"][1][0]] * 10**5, GOOD["stages"][-1]]}
    path = tmp_path / "arch.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="larger than 8 MiB"):
        Arch.load(path)


@pytest.mark.parametrize("ratio", [float("inf"), float("nan"), 0.0])
def test_ratios_are_finite(ratio: float) -> None:
    for make in (InvertedResidual, LinearBottleneck):
        with pytest.raises(ValueError, match="expand_ratio must be > 0 and at most"):
            make(8, expand_ratio=ratio)
    with pytest.raises(ValueError, match="ratio must be > 0 and at most"):
        SqueezeExcite(ratio)


def test_a_network_larger_than_the_machine_is_out_of_memory_at_once() -> None:
    arch = Arch(32, ((ConvBNAct(2**24),), (ConvBNAct(2**24), Classifier(10))))
    for build in (build_network, create_model):
        with pytest.raises(MemoryError, match=r"the weights of the network take 10485\d\d.\d GiB, there are"):
            build(arch)


def test_stages_may_be_lists() -> None:
    """Its figures are kept by the arch itself, and lists have no hash."""
    arch = Arch(32, [[ConvBNAct(8, 3, 2)], [Classifier(10)]])  # type: ignore[arg-type]
    assert arch == Arch(32, ((ConvBNAct(8, 3, 2),), (Classifier(10),))) and arch.params == 322
