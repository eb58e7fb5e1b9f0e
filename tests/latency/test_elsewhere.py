"""A runtime in another interpreter; this one's own, started anew, stands for it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.devices import device_of
from nas.latency.devices.local import LocalDevice
from nas.latency.elsewhere import client
from nas.latency.measuring.measure import Repeats, measure_arch_ms
from nas.latency.measuring.networks import measure_networks
from nas.latency.measuring.processes.ended import Ended
from nas.latency.measuring.timing import image
from nas.latency.runtimes import check_local, environment
from nas.latency.runtimes.onnxruntime import RUNTIME
from nas.latency.tables.table import LatencyTable
from nas.networks.network import Network
from nas.terminal.stored_config import run_config
from search_spaces.families.fbnet import fbnet

from .test_build import SMALL, SPACE

THERE = Device(python=sys.executable)
ARCH = fbnet(16, num_classes=10, width=0.25).decode([2] * 22)


def test_computes_and_is_timed_there() -> None:
    torch.manual_seed(0)
    network, shape = Network(ARCH).eval(), (1, *ARCH.input_shape)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(image(shape))).numpy()
    assert np.abs(RUNTIME.output(network, shape, THERE) - wanted).max() < 1e-3 * np.abs(wanted).max()
    first, second = RUNTIME.load(network, shape, THERE, 2)
    assert len(first(3)) == 3 and min(second(2)) > 0
    there = client.worker(sys.executable)
    assert there.process.pid != os.getpid()
    del first
    assert there.ask({"do": "versions", "device": THERE.to_request(), "module": "nas.latency.runtimes.onnxruntime"})
    found = measure_arch_ms(ARCH, THERE, repeats=Repeats(2, 2.0))
    assert 0 < found.median_ms < 1e3


@pytest.mark.slow
def test_a_table_says_nothing_of_the_interpreter_and_serves_both(tmp_path: Path, monkeypatch) -> None:
    table = build_table(SPACE, THERE, tmp_path, effort=SMALL)
    (file,) = tmp_path.glob("*.json")
    assert sys.executable not in file.read_text()
    assert table.device == Device() and str(table.device) == str(Device())
    monkeypatch.setattr("nas.latency.build._build", lambda *args: pytest.fail("measured anew"))
    for device in (THERE, Device()):
        assert build_table(SPACE, device, tmp_path, effort=SMALL).device.python == device.python
    assert LocalDevice(python=sys.executable).not_measured(LatencyTable.load(file)) is None


@pytest.mark.slow  # five processes, each with an interpreter of its own; tables, above, go the same way
def test_found_networks_are_measured_there() -> None:
    assert device_of(THERE).key.python == sys.executable
    assert measure_networks([ARCH], THERE)[0].latency_ms > 0


def test_no_file_names_the_interpreter(tmp_path: Path) -> None:
    data = {**Device().to_dict(), "python": "/bin/true"}
    with pytest.raises(ValueError, match="a device is an object with"):
        Device.from_dict(data)
    assert Device.from_request(THERE.to_request()).python == sys.executable
    folder = tmp_path / "run"
    folder.mkdir()
    card = "{_target_: nas.latency.devices.local.LocalDevice, python: /tmp/anything}"
    (folder / "config.yaml").write_text(f"device: {card}\n")
    (folder / "env.json").write_text(json.dumps({}))
    assert run_config(str(folder)).device.python is None


def test_one_that_cannot_be_started() -> None:
    with pytest.raises(ValueError, match=r"python=/no/python cannot be started \(No such file or directory\); give"):
        check_local(dataclasses.replace(THERE, python="/no/python"))
    with pytest.raises(ValueError, match="cannot be started"):
        check_local(dataclasses.replace(THERE, python="/tmp"))
    with pytest.raises(RuntimeError, match="the measuring process of /bin/true ended with status 0: it said nothing"):
        check_local(dataclasses.replace(THERE, python="/bin/true"))


def interpreter(folder: Path, *options: str, before: str = "") -> str:
    """This interpreter, started with `options` and the code `before`, as a program of its own."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\n{before}\nexec {sys.executable} {" ".join(options)} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_one_without_numpy(tmp_path: Path) -> None:
    python = interpreter(tmp_path, "-S", "-E")
    with pytest.raises(ValueError, match=r"numpy is not installed in it; .* -m pip install numpy$") as refused:
        check_local(dataclasses.replace(THERE, python=python))
    assert str(refused.value).startswith(python) and "\n" not in str(refused.value)


def test_one_without_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Path(np.__file__).parents[1]
    only = tmp_path / "only"
    only.mkdir()
    for name in ("numpy", "numpy.libs"):
        if (site / name).exists():
            (only / name).symlink_to(site / name)
    (tmp_path / "bin").mkdir()
    before = f"export PYTHONPATH={only}"
    with pytest.raises(ValueError, match=r"onnxruntime is not installed; .*python\S* -m pip install onnxruntime$"):
        check_local(dataclasses.replace(THERE, python=interpreter(tmp_path / "bin", "-S", before=before)))


def test_one_that_is_too_old(tmp_path: Path) -> None:
    script = tmp_path / "python"
    said = json.dumps({"error": "it is Python 3.9.2, and 3.11 or newer is needed", "final": True})
    script.write_text(f"#!/bin/sh\necho '{said}'\n")
    script.chmod(0o755)
    with pytest.raises(ValueError, match=f"^{script}: it is Python 3.9.2, and 3.11 or newer is needed$"):
        check_local(dataclasses.replace(THERE, python=str(script)))


def test_mistakes_there_are_told_and_end_nothing() -> None:
    there = client.worker(sys.executable)
    with pytest.raises(ValueError, match="unknown runtime 'nothing'"):
        client.check(Device(runtime="nothing", python=sys.executable), "nas.latency.runtimes")
    with pytest.raises(ValueError, match="runtime onnxruntime does not measure dtype=fp4"):
        check_local(dataclasses.replace(THERE, dtype="fp4"))
    with pytest.raises(ValueError, match="runtime torch is given no graphs"):
        client.check(Device(runtime="torch", python=sys.executable), "nas.latency.runtimes")
    with pytest.raises(ValueError, match="no_such_package is not installed"):
        client.check(THERE, "no_such_package")
    assert client.worker(sys.executable) is there
    assert environment(THERE)["onnxruntime"] == environment(Device())["onnxruntime"]


def test_one_that_is_killed_is_said_and_started_anew() -> None:
    shape = (1, *ARCH.input_shape)
    (workload,) = RUNTIME.load(Network(ARCH), shape, THERE, 1)
    client.worker(sys.executable).process.send_signal(signal.SIGKILL)
    with pytest.raises(
        Ended, match="the measuring process of .* was ended by SIGKILL, most likely for want of memory"
    ) as ended:
        workload(1)
    assert "said" not in str(ended.value)  # it said nothing
    (again,) = RUNTIME.load(Network(ARCH), shape, THERE, 1)
    assert again(1)[0] > 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to a core")
def test_it_follows_where_this_process_is_bound() -> None:
    shape, before = (1, *ARCH.input_shape), os.sched_getaffinity(0)
    (workload,) = RUNTIME.load(Network(ARCH), shape, THERE, 1)
    pid = client.worker(sys.executable).process.pid
    try:
        os.sched_setaffinity(0, {max(before)})
        workload(1)
        assert os.sched_getaffinity(pid) == {max(before)}
    finally:
        os.sched_setaffinity(0, before)
    workload(1)
    assert os.sched_getaffinity(pid) == before
