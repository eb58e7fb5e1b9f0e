"""What begins with a Ray cluster and what is said where it cannot; Ray itself is a stand-in here."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from nas.methods.candidates.executors.ray import RayExecutor


class Cluster(SimpleNamespace):
    """As much of the module `ray` as an executor uses; `fault` is what joining it raises."""

    def __init__(self, cpus: float = 2, gpus: float = 0, fault: Exception | None = None) -> None:
        super().__init__(fault=fault, up=False, resources={"CPU": cpus, **({"GPU": gpus} if gpus else {})})

    def is_initialized(self) -> bool:
        return self.up

    def init(self, **_: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))  # as Ray does
        if self.fault is not None:
            raise self.fault
        self.up = True

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": self.resources}, {"Alive": False, "Resources": {"CPU": 64, "GPU": 8}}]

    def remote(self, **_: Any) -> Any:
        return lambda function: function

    def put(self, value: Any) -> Any:
        return value

    def shutdown(self) -> None:
        self.up = False


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setitem(sys.modules, "ray", cluster := Cluster())
    yield cluster
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("fault", [None, RuntimeError("no")])
def test_the_signals_of_a_command_stay_its_own(cluster: Cluster, fault: Exception | None) -> None:
    """Ray's would end a training that follows in the middle of an epoch, without its state."""

    def mine(number: int, frame: Any) -> None:
        pass

    signal.signal(signal.SIGTERM, mine)
    cluster.fault = fault
    try:
        with RayExecutor(address=None, workers=1).open(abs):
            assert signal.getsignal(signal.SIGTERM) is mine
    except ValueError:
        assert fault is not None
    assert signal.getsignal(signal.SIGTERM) is mine and not cluster.up


@pytest.mark.parametrize("asked", [{"cpus": 3}, {"gpus": 1.0}])
def test_a_task_that_no_node_can_run_is_not_waited_for(
    cluster: Cluster, asked: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        pytest.raises(ValueError, match=r"is more than this machine has \(2 CPUs and 0 GPUs\); ask for less"),
        RayExecutor(address=None, workers=1, **asked).open(abs),
    ):
        pass
    assert not cluster.up
    with RayExecutor(address="auto", workers=1, **asked).open(abs):  # a cluster may grow
        assert "than any node of the cluster has (2 CPUs and 0 GPUs): trainings wait" in capsys.readouterr().out
    with RayExecutor(address="auto", workers=1, cpus=2).open(abs):
        assert "wait" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "gpus", "room"),
    [
        ({"workers": 3}, 0, 2),
        ({"workers": 2}, 0, None),
        ({"workers": 2, "cpus": 2}, 0, 1),
        ({"workers": 2, "gpus": 0.6}, 1, 1),  # 0.6 of one GPU twice is more than the GPU
        ({"workers": 2, "gpus": 0.5}, 1, None),
        ({"workers": 2, "gpus": 2.0}, 3, 1),
    ],
)
@pytest.mark.parametrize(("address", "whose"), [(None, "this machine"), ("auto", "the cluster")])
def test_more_workers_than_there_is_room_for_are_said(
    cluster: Cluster,
    asked: Any,
    gpus: int,
    room: int | None,
    address: str | None,
    whose: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster.resources |= {"GPU": gpus}
    with RayExecutor(address=address, **asked).open(abs):
        out = capsys.readouterr().out
    said = f"executor.workers={asked['workers']}, but {whose} has room for {room} at once with"
    assert out.count("\n") == 1 and out.startswith(said) if room else out == ""


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_does_not_answer_is_said_at_once(cluster: Cluster, scheme: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"{scheme}127.0.0.1:{closed.getsockname()[1]}"
        with (
            pytest.raises(ValueError, match=f"executor.address={address} cannot be used: ConnectionRefusedError"),
            RayExecutor(address=address, workers=1).open(abs),
        ):
            pass


@pytest.mark.parametrize(
    "fault",
    [
        ValueError("Invalid address format: foo"),
        ConnectionError("Could not find any running Ray instance"),
        RuntimeError("Version mismatch: the cluster was started with\n Ray: 2.40"),
    ],
)
def test_what_ray_says_of_a_cluster_is_one_line(cluster: Cluster, fault: Exception) -> None:
    cluster.fault = fault
    with (
        pytest.raises(ValueError, match=r"^executor\.address=foo cannot be used: ") as refused,
        RayExecutor(address="foo", workers=1).open(abs),
    ):
        pass
    assert "\n" not in str(refused.value) and str(fault)[:20] in str(refused.value)
