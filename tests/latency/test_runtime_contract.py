"""What holds for every runtime: it computes what torch does, says where, and its clock counts all of a call."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.elsewhere import client
from nas.latency.measuring.onnx_graph import to_onnx
from nas.latency.measuring.timing import image
from nas.latency.runtimes import NAMES, check_local, environment, ncnn, runtime_named
from nas.latency.runtimes.base import GraphRuntime, Package, Session, SessionRuntime
from nas.latency.tables.table import LatencyTable
from nas.networks.network import Network
from search_spaces.arch import Arch
from search_spaces.families.fbnet import fbnet
from search_spaces.families.rexnet.space import rexnet
from search_spaces.space import SearchSpace
from tests.methods.gradient_task import few_layers
from tests.search_spaces.every_kind import every_kind

from .test_build import SMALL

SLOW = ("inductor", "executorch")  # that compile for seconds: fewer networks
SESSIONS = [name for name in NAMES if isinstance(runtime_named(name), SessionRuntime)]  # the others are torch itself
GRAPHS = [name for name in NAMES if isinstance(runtime_named(name), GraphRuntime)]
NETWORKS: dict[str, tuple[SearchSpace, tuple[int, ...]]] = {
    "kinds 0": (every_kind(16, 10, 3), (3, 7, 6)),
    "kinds 1": (every_kind(16, 10, 3), (4, 8, 4)),
    "kinds 2": (every_kind(16, 10, 3), (2, 10, 8)),
    "kinds 3": (every_kind(16, 10, 3), (9, 5, 1)),
    "kinds, oblong": (every_kind([16, 9], 10, 1), (1, 11, 9)),
    "fbnet": (
        fbnet(16, num_classes=10, width=0.25),
        (1, 4, 2, 6, 8, 1, 3, 5, 7, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3),
    ),
}


def installed(name: str) -> Device:
    """The device of the runtime; skips where this machine cannot measure for it, with its own words."""
    device = Device(runtime=name)
    try:
        check_local(device)
    except ValueError as error:
        pytest.skip(str(error))
    return device


def network(arch: Arch) -> Network:
    """With batch norms that have seen images: equal constants would hide what a converter mixes up."""
    torch.manual_seed(0)
    made = Network(arch)
    with torch.no_grad():
        made.train()(torch.randn(8, *arch.input_shape))
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return made.eval()


def far(runtime: SessionRuntime, arch: Arch, device: Device) -> float:
    """The largest difference to torch, as a share of the largest output."""
    made, shape = network(arch), (device.batch_size, *arch.input_shape)
    with torch.inference_mode():
        wanted = made(torch.from_numpy(image(shape))).numpy()
    found = runtime.output(made, shape, device)
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def sessions(name: str) -> SessionRuntime:
    runtime = runtime_named(name)
    assert isinstance(runtime, SessionRuntime)
    return runtime


@pytest.mark.parametrize(
    ("name", "which"),
    [
        pytest.param(
            name, which, marks=[pytest.mark.slow] * (name in SLOW and (name, which) != ("executorch", "kinds 1"))
        )
        for name in SESSIONS
        for which in NETWORKS
    ],
)
def test_computes_what_torch_does(name: str, which: str) -> None:
    space, genotype = NETWORKS[which]
    assert far(sessions(name), space.decode(genotype), installed(name)) < 1e-3


@pytest.mark.parametrize("name", sorted(set(SESSIONS) - set(SLOW)))
def test_computes_shortcuts_of_fewer_channels_and_batches(name: str) -> None:
    """ReXNet's blocks add to some channels alone: slices and concatenations."""
    device = installed(name)
    batch = runtime_named(name).largest_batch or 2
    space = rexnet(32, 10)
    arch = space.decode(space.sample(1, np.random.default_rng(0))[0])
    assert far(sessions(name), arch, Device(runtime=device.runtime, batch_size=batch)) < 1e-3


@pytest.mark.parametrize("name", GRAPHS)
def test_what_is_timed_lives_with_all_it_reads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that is freed too early, is filled with other bytes: a runtime that reads it ends its process."""
    device = installed(name)
    monkeypatch.setenv("MALLOC_PERTURB_", "165")  # glibc's
    client.close_all()  # so that the next is started with it
    arch = NETWORKS["kinds 1"][0].decode(NETWORKS["kinds 1"][1])
    there = dataclasses.replace(device, python=sys.executable)
    workloads = runtime_named(name).load(network(arch), (1, *arch.input_shape), there, 2)
    assert all(time > 0 for workload in workloads for time in workload(3))
    client.close_all()


def test_a_session_lives_as_long_as_it_is_timed() -> None:
    read = np.zeros(1)
    alive = weakref.ref(read)
    workload = Session(lambda: None, lambda: np.zeros(1), keeps=(read,)).timed(in_calling_thread=False)
    del read
    assert len(workload(2)) == 2 and alive() is not None
    del workload
    assert alive() is None


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NAMES])
def test_one_thread_is_the_caller_where_it_says_so(name: str) -> None:
    """The time of the process is that of the calling thread, whatever else the machine does."""
    device, runtime = installed(name), runtime_named(name)
    assert runtime.in_calling_thread(device) is runtime.computes_in_caller
    arch = NETWORKS["fbnet"][0].decode(NETWORKS["fbnet"][1])
    (workload,) = runtime.load(network(arch), (1, *arch.input_shape), device, 1)
    workload(3)
    calls = 200
    for _ in range(3):  # a library may still be busy behind its first calls
        thread, process = time.thread_time(), time.process_time()
        workload(calls)
        thread, process = time.thread_time() - thread, time.process_time() - process
        if process - thread < 0.03 * process:
            break
    assert (process - thread < 0.03 * process) is runtime.computes_in_caller


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "ncnn" else name
        for name in NAMES
        if name not in (*SLOW, "onnxruntime")
    ],
)
def test_a_table_is_measured_and_used_again(name: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime's: test_build.py."""
    device = installed(name)
    space = few_layers(kernels=(3,))
    table = build_table(space, device, tmp_path, effort=SMALL)
    assert all(row.ms > 0 for row in table.rows_) and table.proof is not None
    assert table.device == device and table.environment[name]
    (file,) = tmp_path.glob("*.json")
    assert f"-{name}-fp32-b1-t1.json" in file.name
    monkeypatch.setattr("nas.latency.build._build", lambda *args: pytest.fail("measured anew"))
    assert build_table(space, device, tmp_path, effort=SMALL).to_dict() == table.to_dict()
    assert LatencyTable.load(file).fell_back == table.fell_back


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_installed_is_said_with_its_cure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = runtime_named(name)
    find = importlib.util.find_spec
    missing = {package.module for package in runtime.needs}
    monkeypatch.setattr(importlib.util, "find_spec", lambda what, *rest: None if what in missing else find(what, *rest))
    if not missing:
        assert name in ("torch", "inductor")
        return
    with pytest.raises(ValueError, match=f"runtime {name}: .* is not installed; pip install ") as refused:
        check_local(Device(runtime=name))
    assert "\n" not in str(refused.value) and "device.python=" in str(refused.value)
    for package in runtime.needs:
        assert package.requirement in str(refused.value)


def test_packages_that_are_too_old_are_said() -> None:
    assert Package("numpy", "numpy", "1.0").fault() is None
    assert "numpy " in str(Package("numpy", "numpy", "99.0").fault())
    assert Package("numpy", "numpy", "99.0").requirement == "'numpy>=99.0'"


def test_inductor_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ValueError, match=r"none of g\+\+, c\+\+, clang\+\+ is on the PATH; install a compiler \(apt"):
        check_local(Device(runtime="inductor"))
    monkeypatch.setenv("CXX", "/nowhere/g++")
    with pytest.raises(ValueError, match=r"CXX=/nowhere/g\+\+ is no program"):
        check_local(Device(runtime="inductor"))


@pytest.mark.parametrize("name", NAMES)
def test_versions_name_what_times_depend_on(name: str) -> None:
    found = environment(Device(runtime=name))
    assert set(runtime_named(name).packages) <= set(found) and name in found


def test_runtimes_of_one_image_refuse_batches() -> None:
    installed("ncnn")
    with pytest.raises(ValueError, match=r"runtime ncnn takes at most 1 image a call, got device.batch_size=4"):
        check_local(Device(runtime="ncnn", batch_size=4))


@pytest.mark.parametrize("name", ["inductor", "torch"])
def test_runtimes_of_modules_run_here_alone(name: str) -> None:
    with pytest.raises(ValueError, match=f"runtime {name} is given torch modules"):
        check_local(Device(runtime=name, python="python"))


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_of_one_network_are_one(name: str) -> None:
    """What is kept for a graph with stand-ins does not depend on the weights."""
    runtime: Any = runtime_named(name)
    if runtime.weights_matter:
        return
    arch, device = every_kind(16, 10, 3).decode((3, 7, 6)), Device(runtime=name)
    graphs = {runtime._timed_graph(Network(arch), (1, *arch.input_shape), device) for _ in range(2)}
    other = runtime._timed_graph(Network(every_kind(16, 10, 3).decode((3, 7, 5))), (1, *arch.input_shape), device)
    assert len(graphs) == 1 and other not in graphs


@pytest.mark.parametrize("gone", ["in0", "out0"])
def test_a_network_that_ncnn_cannot_compute_has_no_time(gone: str, tmp_path: Path) -> None:
    """It says so by a number, and gave the empty answer of a call that was over at once."""
    device, shape = installed("ncnn"), (1, 3, 4, 4)
    for part, data in zip(
        ncnn.PARTS,
        ncnn._converted(to_onnx(torch.nn.Conv2d(3, 2, 1), shape).SerializeToString(), shape, tmp_path),
        strict=True,
    ):
        (tmp_path / part).write_bytes(data.replace(gone.encode(), b"gone"))
    session = ncnn._session(tmp_path, shape, device)
    with pytest.raises(ValueError, match="ncnn could not compute the network: its status is -1"):
        session.run()
