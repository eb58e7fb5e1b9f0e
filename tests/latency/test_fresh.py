"""A measurement by a new process."""

import dataclasses

import pytest

from nas.latency.device import Device
from nas.latency.measuring.fresh import measure_arch_fresh_ms
from nas.latency.measuring.measure import measure_arch_ms
from search_spaces.families.fbnet import fbnet


def test_measures_the_same_network() -> None:
    small = fbnet(8, 10, 1, width=0.25, head_channels=32).decode([8] * 22)
    large = fbnet(32, width=0.5).decode([7] * 22)  # so much slower that no load turns the order round
    found = measure_arch_fresh_ms(large, Device())
    here = [measure_arch_ms(arch, Device()).median_ms for arch in (small, large)]
    assert found > 3 * here[0] > 0
    assert 0.1 < found / here[1] < 10


def test_devices_of_other_machines_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown runtime 'tflite'"):
        measure_arch_fresh_ms(
            fbnet(8, 10, 1, width=0.25).decode([8] * 22), dataclasses.replace(Device(), runtime="tflite")
        )


def test_kinds_of_the_program_itself_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    arch = fbnet(8, 10, 1, width=0.25).decode([8] * 22)
    monkeypatch.setattr(type(arch.layers[0]), "__module__", "__main__")
    with pytest.raises(ValueError, match="the block kind 'conv_bn_act' is defined in the program itself"):
        measure_arch_fresh_ms(arch, Device())
