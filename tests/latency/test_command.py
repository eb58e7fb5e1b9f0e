"""`python -m nas.latency`, called in this process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nas.latency.__main__ import main

from .test_imports import LUT

SMALL = [
    "space.resolution=16",
    "space.num_classes=10",
    "space.width=0.25",
    "space.candidates=[k3_e1,k5_e3,skip]",
    "effort.fit_networks=6",
    "effort.held_out_networks=4",
    "effort.rounds=2",
    "effort.network_rounds=2",
    "effort.visit_ms=0.3",
    "effort.network_visit_ms=2",
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_builds_shows_and_reuses(capsys: pytest.CaptureFixture[str]) -> None:
    main(SMALL)
    out = capsys.readouterr().out
    assert "held-out networks" in out
    assert "noise alone" in out
    (table,) = Path("latency_tables").glob("*.json")
    assert str(table) in out
    assert table.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    main(SMALL)
    assert "measuring blocks" not in capsys.readouterr().out


def test_kit_there_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    main([*SMALL, "action=kit", "kit=kit", "device.name=board"])
    assert "is ready" in capsys.readouterr().out
    done = subprocess.run([sys.executable, "measure.py"], cwd="kit", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    with pytest.raises(SystemExit):
        main([*SMALL, "action=import", "kit=kit", "device.name=tablet"])
    assert "kit is a kit of board-onnxruntime-fp32-b1-t1, which device.name=tablet does not" in capsys.readouterr().err
    main([*SMALL, "action=import", "kit=kit", "device.name=board"])
    assert "noise alone" in capsys.readouterr().out
    (table,) = Path("latency_tables").glob("fbnet-r16-*-board-*.json")
    with pytest.raises(SystemExit) as caught:
        main([*SMALL, "action=import", "kit=kit"])
    assert caught.value.code == 2
    assert "refresh=true" in capsys.readouterr().err
    assert table.exists()


def test_import_of_a_public_table(capsys: pytest.CaptureFixture[str]) -> None:
    geometry = ["space.resolution=32", "space.num_classes=100", "space.head_channels=1504"]
    main([*geometry, "action=import", "format=hwnasbench", f"file={LUT}", "source=raspi4", "device.name=raspi4"])
    out = capsys.readouterr().out
    assert "not proven" in out
    assert list(Path("latency_tables").glob("fbnet-r32-*-raspi4-*.json"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["action=measure"], "action must be one of build, kit, import, rows, compare, sample, learn, got 'measure'"),
        (["action=kit"], "action=kit needs kit=..."),
        (["action=import"], "action=import needs format=csv|"),
        (["action=import", "kit=nowhere"], "no latency kit at nowhere"),
        (["action=import", "kit=a", "file=b"], "not both"),
        (["action=import", "format=csv", "file=none.csv", "device.name=x"], "no file at none.csv"),
        (["action=import", "format=xml"], "format must be one of csv, text"),
        (["device.runtime=tflite"], "unknown runtime 'tflite'; one of"),
        (["device.thread=2"], "device.thread"),
        (["effort.rounds=0"], "effort.rounds must be >= 2"),
        (["space.width=-1"], "space.width must be a number > 0 or null, got -1"),
        (["unit=hours"], "unit must be one of"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(Path.cwd().iterdir())
