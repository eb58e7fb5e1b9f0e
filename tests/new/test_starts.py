"""What `nas.new` writes works as it is written, for every kind."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from nas.data.space import build_space
from nas.inspect import methods_for
from nas.latency import runtimes
from nas.latency.devices import device_of
from nas.new import __main__ as new
from nas.new.writing import KINDS, Start
from nas.search import __main__ as search
from nas.terminal.configuration import cards
from nas.terminal.configuration.plain_yaml import read_yaml
from tests.methods.candidates.in_process import no_processes
from tests.test_docs import accept

NAMES = {kind: f"own_{kind}" for kind in KINDS}


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A present folder with a start of every kind; what their modules register is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(runtimes, "_OWN", {})
    for kind, name in NAMES.items():
        new.main([f"kind={kind}", f"name={name}"])
    yield tmp_path
    for name in NAMES.values():
        sys.modules.pop(name, None)


def made(kind: str, **values: object) -> Any:
    """What the card of a start makes, with other `values`."""
    card = read_yaml(Path("my_cards", kind, f"{NAMES[kind]}.yaml").read_text()) | values
    return build_space(card) if kind == "space" else cards.build(card, kind, {})


def test_the_space_the_method_and_the_data_search_together(started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_processes(monkeypatch)
    own = [f"{kind}={NAMES[kind]}" for kind in ("space", "method", "data")]
    small = [
        "search.trials=3",
        "search.batch=2",
        "train.enabled=false",
        "search.epochs=1",
        "recipe.epochs=1",
        "recipe.warmup_epochs=0",
    ]
    small += ["data.count=120", "data.resolution=8", "references.names=[]", "accelerator=cpu"]
    search.main(["--config-dir", "my_cards", *own, *small, "budget.macs=400000", "run_dir=run"])
    result = json.loads(Path("run/result.json").read_text())
    assert (result["space"], result["method"], result["data"]) == ("own_space", "own_method", "own_data")
    assert result["trials"] == 3 and result["macs"] <= 400_000 and result["budget_met"]


def test_the_space_names_a_method_that_searches_it(started: Path) -> None:
    space = made("space")
    assert {"dnas", "single_path"} <= set(methods_for(space)) and space.size == 4 * 5 * 4 * 5 * 4 * 5


def test_the_data_is_the_same_at_every_call_and_can_be_told_apart(started: Path) -> None:
    data = made("data", count=120)
    assert data.fingerprint == made("data", count=120).fingerprint != made("data", count=122).fingerprint
    assert (len(data.train.labels), len(data.test.labels)) == (100, 20)
    assert 0.3 < data.train.labels.float().mean() < 0.7


def test_the_device_measures(started: Path, two_processes: None) -> None:
    """Also in the new processes that time what was found."""
    device = device_of(made("device"))
    space = made("space", resolution=8, num_classes=2, in_channels=1)
    assert device.findings()[0][:3] == ("device", "ok", "local-own_device-fp32-b1-t1")
    assert device.about()["own_device"] == metadata.version("onnxruntime")
    (found,) = device.measure([space.decode((0,) * len(space.variables))], None)
    assert found.latency_ms > 0


@pytest.mark.parametrize("kind", KINDS)
def test_printed_commands_are_accepted(started: Path, kind: str) -> None:
    for line in Start(kind, "another", started).next_commands():
        words = shlex.split(line)
        assert words[3:5] == ["--config-dir", "my_cards"] and words[5] == f"{kind}=another"
        accept(words[2].removeprefix("nas."), tuple(words[6:]))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_overwritten(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither of the two files, and then the other one is not written either."""
    monkeypatch.chdir(tmp_path)
    for mine in Start(kind, "mine_too", Path()).files:
        mine.parent.mkdir(parents=True, exist_ok=True)
        mine.write_text("mine")
        with pytest.raises(SystemExit) as stop:
            new.main([f"kind={kind}", "name=mine_too"])
        assert stop.value.code == 2 and f"{mine} exists and is not overwritten" in capsys.readouterr().err
        assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]
        mine.unlink()


def test_of_two_files_both_or_none(tmp_path: Path) -> None:
    (tmp_path / "my_cards").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        Start("space", "an_own", tmp_path).write()
    assert [path.name for path in tmp_path.iterdir()] == ["my_cards"]
