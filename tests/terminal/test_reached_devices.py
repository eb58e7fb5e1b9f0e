"""A run directory names a machine, and only the command line lets it be reached."""

from __future__ import annotations

import pytest

from nas.terminal.configuration.arguments import ordered, resume_command
from nas.terminal.reached_devices import check_reached, reached_by

SSH = "nas.latency.devices.ssh.SshDevice"
CARD = {"_target_": SSH, "host": "pi@board", "port": None, "options": [], "python": "python3", "threads": 1}


def test_a_device_is_given_again_by_what_differs_from_its_card() -> None:
    assert reached_by(CARD) == {"device": "ssh", "device.host": "pi@board"}
    again = reached_by({**CARD, "port": 22, "python": "~/x", "threads": 2})
    assert list(again) == ["device", "device.host", "device.port", "device.python", "device.threads"]


def test_a_run_alone_reaches_nothing() -> None:
    with pytest.raises(ValueError, match=r"derive run=r device=ssh 'device.host=\"pi@board\"'.*measure=false"):
        check_reached("r", {"device": CARD, "seed": 1})
    check_reached("r", {"device": {"_target_": "nas.latency.devices.local.LocalDevice", "name": "local"}})
    check_reached("r", {"device": None})


def test_the_command_that_resumes_gives_it_again() -> None:
    words = ["space=fbnet", "device=ssh", "device.host=pi@board", "device.threads=2", "device.python=~/x", "tables=t"]
    again = resume_command("search", "r", words)
    assert again.startswith("python -m nas.search resume=r device=ssh device.host=pi@board device.threads=2")
    assert again.endswith(" 'device.python=~/x' tables=t")
    assert resume_command("search", "r", ["device=local", "seed=3"]) == "python -m nas.search resume=r"


def test_the_home_directory_of_another_machine_is_not_ours() -> None:
    assert ordered(["device.python=~/nas/bin/python"]) == ['device.python="~/nas/bin/python"']
    assert ordered(["data.root=~/x"]) != ["data.root=~/x"]
