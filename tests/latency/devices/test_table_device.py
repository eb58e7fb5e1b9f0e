"""`device=table`: the table is used by every command, nothing is measured, and the file stays byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.doctor.around import device as findings
from nas.evaluate.__main__ import main as evaluate
from nas.export.__main__ import main as export
from nas.latency.__main__ import main as latency
from nas.latency.devices.table import TableDevice
from nas.networks import model_folder
from nas.networks.network import Network
from search_spaces.families.fbnet import fbnet
from search_spaces.memory.counted import Counted

from .kinds import KINDS, made_up_table, tiny


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TableDevice:
    monkeypatch.chdir(tmp_path)
    found = KINDS["table"].make(Path("."), lambda: pytest.fail("it asks for a board"))
    assert isinstance(found, TableDevice)
    return found


def test_it_measures_nothing_and_replaces_nothing(device: TableDevice) -> None:
    before = Path("phone.json").read_bytes()
    with pytest.raises(ValueError, match=r"refresh=true cannot renew phone\.json") as refused:
        device.table(tiny(), ".", refresh=True)
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match=r"^phone\.json: the table is for another space: it lacks"):
        device.table(fbnet(16), ".")
    with pytest.raises(ValueError, match="nothing can be measured on it"):
        device.measure([tiny().decode([0])], None)
    assert Path("phone.json").read_bytes() == before and len(list(Path.cwd().iterdir())) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no latency table at other.json"),
        ("{}", "not a latency table"),
        ('{"format": "nas.latency_table', "truncated"),
    ],
)
def test_what_is_no_table_is_one_line(
    content: str | None, message: str, device: TableDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        Path("other.json").write_text(content)
    broken = TableDevice("other.json")
    with pytest.raises(ValueError, match=message):
        broken.check()
    ((_, state, figure, cure),) = findings(broken)
    assert (state, figure) == ("bad", "not usable") and message in cure
    assert [row[1:3] for row in findings(device)] == [("ok", "phone-tflite-fp32-b1-t4")]
    with pytest.raises(SystemExit) as stop:
        latency(["device=table", "device.file=other.json"])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and message in said and said.count("\n") == 1


def test_the_file_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        latency(["device=table"])
    assert stop.value.code == 2 and "device.file" in capsys.readouterr().err


def test_evaluation_and_export_say_what_the_table_says(device: TableDevice, capsys: pytest.CaptureFixture[str]) -> None:
    """A network of the table's space has an estimate; another one has none."""
    space = fbnet(8, 10, 1, width=0.25, head_channels=16, candidates=("k3_e1", "skip"))
    table = made_up_table(space, device)
    table.save("fbnet.json")
    before = Path("fbnet.json").read_bytes()
    for name, found in (("net", space), ("wide", fbnet(8, 10, 1, width=0.5, candidates=("k3_e1",)))):
        model_folder.write(name, Network(found.decode(found.cardinalities - 1)))
    asked = ["device=table", "device.file=fbnet.json", "data.resolution=8"]
    evaluate(["arch=net", "run_dir=one", *asked])
    found = json.loads(Path("one/metrics.json").read_text())
    assert found["estimated_latency_ms"] == table.estimate_ms(space.decode([1] * 22)) > 0
    assert found["measured_latency_ms"] is None and "that device is not here" in found["not_measured"]
    memory = space.decode([1] * 22).memory_kib(Counted())
    assert found["memory_kib"] == memory > 0 and found["counted"] == {"dtype": "fp32", "in_place": "element_wise"}
    assert found["weights_kib"] == space.decode([1] * 22).weights_kib(Counted())
    said = capsys.readouterr().out
    assert f"{memory:,.4g} KiB of activations (fp32)" in said
    assert "latency estimated" in said and found["device"] == str(device.key) and str(device.key) in said
    evaluate(["arch=wide", "run_dir=two", *asked])
    assert json.loads(Path("two/metrics.json").read_text())["estimated_latency_ms"] is None
    assert "latency estimated" not in capsys.readouterr().out
    export(["arch=net", "output=net.onnx", *asked[:2]])
    report = json.loads(Path("net.onnx.json").read_text())
    assert report["latency"] is None and "that device is not here" in report["not_measured"]
    assert Path("fbnet.json").read_bytes() == before
