"""Runtimes that make eight bits themselves: close to floats, and what stays in floats is counted and named."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nas.latency.device import Device
from nas.latency.measuring.quantize import CALIBRATION_BATCHES, calibration
from nas.latency.placement import Placement
from nas.latency.runtimes import NAMES, check_local, environment, runtime_named
from nas.latency.runtimes.base import GraphRuntime

from .test_runtime_contract import NETWORKS, network

OWN = [name for name in NAMES if getattr(runtime_named(name), "quantises", False)]
SLOW = ("executorch",)


def installed(name: str) -> tuple[GraphRuntime, Device]:
    runtime, device = runtime_named(name), Device(runtime=name, dtype="int8")
    try:
        check_local(device)
    except ValueError as error:
        pytest.skip(str(error))
    assert isinstance(runtime, GraphRuntime)
    return runtime, device


def test_calibration_is_seeded() -> None:
    first, second = calibration((2, 3, 4, 4)), calibration((2, 3, 4, 4))
    assert len(first) == CALIBRATION_BATCHES and all(batch.dtype == np.float32 for batch in first)
    assert all((a == b).all() for a, b in zip(first, second, strict=True)) and (first[0] != first[1]).any()


@pytest.mark.parametrize("name", OWN)
def test_they_are_given_floats(name: str) -> None:
    runtime = runtime_named(name)
    assert isinstance(runtime, GraphRuntime) and "int8" in runtime.dtypes
    space, genotype = NETWORKS["kinds 0"]
    arch = space.decode(genotype)
    made, shape = network(arch), (1, *arch.input_shape)
    device = Device(runtime=name, dtype="int8")
    assert runtime.graph(made, shape, device) == runtime.graph(made, shape, dataclasses.replace(device, dtype="fp32"))


@pytest.mark.parametrize("name", OWN)
def test_their_quantiser_belongs_to_the_table_of_eight_bits_alone(name: str) -> None:
    (quantiser,) = runtime_named(name).needs_int8
    tables = {dtype: environment(Device(runtime=name, dtype=dtype)) for dtype in ("fp32", "int8")}
    assert quantiser.pip in tables["int8"] and quantiser.pip in tables["int8"][name]
    assert quantiser.pip not in tables["fp32"]


@pytest.mark.parametrize(
    ("name", "which"),
    [
        pytest.param(name, which, marks=[pytest.mark.slow] * (name in SLOW and which != "fbnet"))
        for name in OWN
        for which in NETWORKS
    ],
)
def test_outputs_are_close_to_those_of_floats_and_eight_bits_are_what_runs(name: str, which: str) -> None:
    runtime, device = installed(name)
    space, genotype = NETWORKS[which]
    arch = space.decode(genotype)
    made, shape = network(arch), (1, *arch.input_shape)
    floats = runtime.output(made, shape, dataclasses.replace(device, dtype="fp32")).ravel()
    found = runtime.output(made, shape, device).ravel()
    assert (found != floats).any()  # something was rounded
    assert np.abs(found - floats).max() < 0.15 * np.abs(floats).max()
    told = runtime.placement(made, shape, device)
    assert told.operators > 10 and "Conv" not in str(told.elsewhere) and "convolution" not in str(told.elsewhere)
    assert told.fallen_back < 0.5 * told.operators


def test_xnnpack_leaves_hard_swish_in_eight_bits_to_litert() -> None:
    runtime, device = installed("litert")
    space, genotype = NETWORKS["kinds 0"]
    arch = space.decode(genotype)
    told = runtime.placement(network(arch), (1, *arch.input_shape), device)
    assert told.elsewhere == {"HARD_SWISH outside XNNPACK": 2}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in OWN])
def test_stand_ins_run_where_the_weights_do(name: str) -> None:
    """What is timed is a program of stand-in weights: the same operators in the same arithmetic."""
    runtime, device = installed(name)
    space, genotype = NETWORKS["kinds 1"]
    arch = space.decode(genotype)
    made, shape = network(arch), (1, *arch.input_shape)
    timed: Placement = runtime.placement(made, shape, device)
    (own,) = runtime.sessions(made, shape, device, 1)
    assert own.placement() == timed
