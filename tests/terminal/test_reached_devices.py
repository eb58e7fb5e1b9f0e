"""A run directory names a machine, and only the command line lets it be reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.terminal.configuration.arguments import ordered, resume_command
from nas.terminal.configuration.plain_yaml import write_yaml
from nas.terminal.reached_before import BY, is_known, remember
from nas.terminal.reached_devices import check_reached, reached_by, with_device_of_run

SSH = "nas.latency.devices.ssh.SshDevice"
CARD = {"_target_": SSH, "host": "pi@board", "port": None, "options": [], "python": "python3", "threads": 1}
CARD |= {"folder": "~/.cache/nas-under-budget"}
TABLE_CARD = {"_target_": "nas.latency.devices.table.TableDevice", "file": "latency_tables/phone.json"}


def test_a_device_is_given_again_by_what_differs_from_its_card() -> None:
    assert reached_by(CARD) == {"device": "ssh", "device.host": "pi@board"}
    again = reached_by({**CARD, "port": 22, "python": "~/x", "threads": 2})
    assert list(again) == ["device", "device.host", "device.port", "device.python", "device.threads"]


def test_a_run_alone_reaches_nothing(cache: Path) -> None:
    with pytest.raises(ValueError, match=r"derive run=r device=ssh 'device.host=\"pi@board\"'.*measure=false"):
        check_reached("r", {"device": CARD, "seed": 1})
    check_reached("r", {"device": {"_target_": "nas.latency.devices.local.LocalDevice", "name": "local"}})
    check_reached("r", {"device": None})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "reached.json"


@pytest.mark.parametrize("changed", [None, *BY])
def test_a_machine_that_was_reached_before_is_reached_by_the_very_same_settings(
    changed: str | None, cache: Path
) -> None:
    """Whatever else a run directory names is another machine, and perhaps a program."""
    remember(CARD)
    again = {**CARD, "threads": 4} if changed is None else {**CARD, changed: ["ProxyCommand=touch owned"]}
    if changed is None:
        check_reached("r", {"device": again})
        check_reached("r", {"device": {**again, "options": None}})  # as an older card says it
    else:
        assert not is_known(again)
        with pytest.raises(ValueError, match="reaches nothing outside that you did not reach before"):
            check_reached("r", {"device": again})


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": "x", "addresses": []}', '{"format": "nas.reached"}', "1"]
)
def test_a_damaged_record_knows_nobody_and_is_written_anew(content: str, cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text(content)
    assert not is_known(CARD)
    remember(CARD)
    remember({**CARD, "host": "other"})
    assert is_known(CARD) and is_known({**CARD, "host": "other"}) and not is_known({**CARD, "host": "third"})
    assert "board" not in cache.read_text()


def test_without_a_cache_nothing_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_CACHE", "/dev/null/cache")
    remember(CARD)
    assert not is_known(CARD)


def run_of(device: dict | None, folder: Path, table: bool = True) -> Path:
    """A run directory whose search had `device`."""
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text(write_yaml({"method": {}, "device": device}))
    (folder / "arch.json").write_text("{}")
    if table:
        (folder / "table.json").write_text("{}")
    return folder


@pytest.mark.parametrize("arch", ["r", "r/model", "r/arch.json", "local-dir:r/model"])
def test_a_network_goes_by_the_device_of_its_run(arch: str, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table by the run's own copy, a board if it was reached before; what was given holds."""
    here = {"_target_": "nas.latency.devices.local.LocalDevice", "name": "local"}
    asked = {"arch": arch, "device": here}
    run_of(TABLE_CARD, Path("r"))
    found = with_device_of_run(asked, ["arch", "data.root"])
    assert found["device"] == {**TABLE_CARD, "file": "r/table.json"} and found["arch"] == arch
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "that of the table r/table.json, which r was searched for" in said
    for given in ("device", "device.threads"):
        assert with_device_of_run(asked, ["arch", given]) == asked
    Path("r/config.yaml").write_text(write_yaml({"method": {}, "device": CARD}))
    capsys.readouterr()
    assert with_device_of_run(asked, ["arch"]) == asked
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "not reached from here before: give it again, device=ssh" in said
    remember(CARD)
    assert with_device_of_run(asked, ["arch"])["device"] == CARD
    assert "device: pi@board over ssh, which r was searched for; another one: device=local" in capsys.readouterr().out


@pytest.mark.parametrize(
    "device",
    [
        None,
        {"_target_": "nas.latency.device.Device", "name": "phone"},  # of an earlier release
        {"_target_": "nas.latency.devices.local.LocalDevice", "name": "local"},
        {"_target_": "os.system", "file": "x"},
        {"_target_": ["x"], "host": "pi@board"},
        {"host": {"_target_": "os.system"}},
        "ssh",
    ],
)
def test_other_runs_leave_the_device_as_it_is(device: dict | None, cache: Path, capsys) -> None:
    asked = {"arch": "r/model", "device": {"_target_": "x"}}
    run_of(device, Path("r"))
    assert with_device_of_run(asked, ["arch"]) == asked
    Path("r/config.yaml").write_text("- no\n- run")
    assert with_device_of_run(asked, ["arch"]) == asked
    run_of(TABLE_CARD, Path("counted"), table=False)
    for arch in ("counted", "mobilenetv2_100", "nowhere/arch.json", '{"stages": []}'):
        assert with_device_of_run({"arch": arch, "device": 1}, []) == {"arch": arch, "device": 1}
    assert capsys.readouterr().out == ""


def test_the_command_that_resumes_gives_it_again() -> None:
    words = ["space=fbnet", "device=ssh", "device.host=pi@board", "device.threads=2", "device.python=~/x", "tables=t"]
    again = resume_command("search", "r", words)
    assert again.startswith("python -m nas.search resume=r device=ssh device.host=pi@board device.threads=2")
    assert again.endswith(" 'device.python=~/x' tables=t")
    assert resume_command("search", "r", ["device=local", "seed=3"]) == "python -m nas.search resume=r"


def test_the_home_directory_of_another_machine_is_not_ours() -> None:
    assert ordered(["device.python=~/nas/bin/python"]) == ['device.python="~/nas/bin/python"']
    assert ordered(["data.root=~/x"]) != ["data.root=~/x"]
