"""A kit: what the runtime executes is unchanged, the script survives a kill, its table is that of a direct build."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.graphs.weightless import without_weights
from nas.latency.kits.of_space import import_kit, write_kit
from nas.latency.measuring.journal import seal
from nas.latency.measuring.onnx_graph import to_onnx
from nas.latency.tables.table import LatencyTable
from nas.networks.network import Network

from .test_build import MORTAL, SMALL, SPACE
from .test_onnx_graph import session

DEVICE = Device(name="board")
# Stands in for an environment with nothing but numpy and onnxruntime: everything else we depend on cannot be imported.
ONLY = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {{"torch", "onnx", "nas", "search_spaces", "timm", "scipy", "rich", "hydra"}}:
            raise ImportError(name + " is not on the device")
sys.meta_path.insert(0, Refuse())
from pathlib import Path
import measure
from measure import Journal
die_after = int(sys.argv[1])
{MORTAL}
measure.main(Path.cwd())
"""


def measure(kit: Path, die_after: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ONLY, str(die_after)],
        cwd=kit,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kit that was measured, killed in the middle and measured to its end."""
    folder = write_kit(SPACE, DEVICE, tmp_path_factory.mktemp("kits") / "kit", effort=SMALL)
    process = measure(folder, die_after=30)
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    assert not (folder / "results.json").exists()
    with pytest.raises(ValueError, match=r"no results.json yet \(it was begun there\)"):
        import_kit(folder)
    before = (folder / "results.jsonl").read_text().splitlines()
    assert len(before) == 31  # a header first
    process = measure(folder)
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "done" in out
    assert (folder / "results.jsonl").read_text().splitlines()[:31] == before
    return folder


def test_the_script_is_one_file_without_a_name_twice(kit: Path) -> None:
    assert {path.name for path in kit.glob("*.py")} == {"measure.py"}
    body = ast.parse((kit / "measure.py").read_text()).body
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    names = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    names += [target.id for target in targets if isinstance(target, ast.Name)]
    assert len(names) > 30 and len(set(names)) == len(names)


def test_import_is_a_direct_build_within_noise(kit: Path, tmp_path: Path) -> None:
    table = import_kit(kit, SPACE)
    direct = build_table(SPACE, DEVICE, tmp_path, effort=SMALL)
    assert table.device == DEVICE
    assert {(r.layer, r.shape) for r in table.rows_} == {(r.layer, r.shape) for r in direct.rows_}
    assert [net["arch"] for net in table.networks] == [net["arch"] for net in direct.networks]
    pairs = zip(table.networks, direct.networks, strict=True)
    ratio = np.array([a["measured_ms"] / b["measured_ms"] for a, b in pairs])
    assert table.environment["calm_ms"].keys() == direct.environment["calm_ms"].keys()
    assert 0.2 < np.median(ratio) < 5  # the same unit and the right networks, however busy the machine is
    assert table.proof is not None
    assert LatencyTable.load(table.save(tmp_path / "t.json"), SPACE, DEVICE) == table


def test_done_kit_is_not_measured_twice(kit: Path) -> None:
    before = (kit / "results.json").read_bytes()
    out, _ = measure(kit).communicate()
    assert "is there already" in out
    assert (kit / "results.json").read_bytes() == before


def test_results_of_the_scripts_before_this_one_are_read(kit: Path, tmp_path: Path) -> None:
    """Which measured in one process, beside one reference."""
    data = {name: json.loads((kit / name).read_text()) for name in ("kit.json", "results.json")}
    old, results = data["kit.json"], data["results.json"]
    old.update(version=2, reference=old.pop("references"))
    for entry in [*old["rows"], *old["networks"]]:
        del entry["rung"]
    old["id"] = seal(old, "id")
    visits = {key: [visit[:3] for visit in turns] for key, turns in results["visits"].items()}
    results.update(version=2, kit=old["id"], visits=visits)
    results["digest"] = seal(results, "digest")
    for name, content in data.items():
        (tmp_path / name).write_text(json.dumps(content))
    table = import_kit(tmp_path, SPACE)
    assert set(table.environment["calm_ms"]) == {"6m"}
    first = next(iter(visits))
    results["visits"][first][0] = [1.0, 1.0, 2, 0, 1.0]
    results["digest"] = seal(results, "digest")
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(ValueError, match="not a time in ms"):
        import_kit(tmp_path, SPACE)


def drop_visits(data: dict) -> None:
    data["visits"][next(iter(data["visits"]))] = []


def first_visit(*visit: object):
    return lambda d: next(iter(d["visits"].values())).__setitem__(0, list(visit))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("results.json", lambda d: d.update(unit="us"), "is in 'us'"),
        ("results.json", lambda d: d.update(version=7), "version 7"),
        ("results.json", lambda d: d.update(kit="abc"), "is of kit 'abc'"),
        ("results.json", lambda d: d["device"].update(threads=2), "the kit is for"),
        ("results.json", lambda d: d["visits"].pop(next(iter(d["visits"]))), "was timed 0 times instead of 2"),
        ("results.json", drop_visits, "was timed 0 times instead of 2"),
        (
            "results.json",
            first_visit(-1.0, 1.0, 2, 0, 1.0),
            r"has the visit \[-1.0, 1.0, 2, 0, 1.0\], not a time in ms",
        ),
        ("results.json", first_visit(None, 1.0, 2, 0, 1.0), "not a time in ms"),
        ("results.json", first_visit(1.0, 1e300, 2, 0, 1.0), "not a time in ms"),
        ("results.json", first_visit(1.0, 1.0, "2", 0, 1.0), "not a time in ms"),
        ("results.json", first_visit(1.0), "not a time in ms"),
        ("results.json", first_visit(), "not a time in ms"),
        ("results.json", lambda d: d.update(visits=[]), "is incomplete"),
        ("results.json", lambda d: d.update(environment=[]), "environment must be an object"),
        ("results.json", lambda d: d.update(environment={"cpu": {}}), "environment.cpu must be a plain value"),
        ("kit.json", lambda d: d.update(format="x"), "is not a latency kit"),
        ("kit.json", lambda d: d["rows"].pop(), "holds a layer that was not timed"),
        ("kit.json", lambda d: d.update(rows=[]), "lists no rows"),
        ("kit.json", lambda d: d.update(rows=3), "is incomplete"),
        ("kit.json", lambda d: d.update(space="../../../x"), "space must be at most 100 letters"),
        ("kit.json", lambda d: d["device"].update(name="local"), "a kit is measured elsewhere"),
        ("kit.json", lambda d: d["device"].update(runtime="../x"), "device runtime must be letters"),
        ("kit.json", lambda d: d["effort"].update(rounds="all"), "effort.rounds must be a whole number"),
    ],
)
def test_other_results_are_refused(kit: Path, tmp_path: Path, file: str, change, message: str) -> None:
    """However well they are sealed."""
    data = {name: json.loads((kit / name).read_text()) for name in ("kit.json", "results.json")}
    change(data[file])
    if file == "kit.json":
        data["kit.json"]["id"] = seal(data["kit.json"], "id")
        data["results.json"].update(kit=data["kit.json"]["id"], device=data["kit.json"]["device"])
    data["results.json"]["digest"] = seal(data["results.json"], "digest")
    for name, content in data.items():
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        import_kit(tmp_path, SPACE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["kit.json", "results.json", "networks/reference-120k.onnx"])
def test_changed_bytes_are_noticed(kit: Path, tmp_path: Path, file: str) -> None:
    """On the device, before anything is measured, and here."""
    copy = tmp_path / "kit"
    shutil.copytree(kit, copy)
    content = (copy / file).read_bytes()
    place = len(content) // 2
    while not chr(content[place]).isdigit():
        place += 1
    (copy / file).write_bytes(content[:place] + (b"1" if content[place] != ord("1") else b"2") + content[place + 1 :])
    if not file.endswith(".onnx"):
        with pytest.raises(ValueError, match="is damaged"):
            import_kit(copy)
    if file != "results.json":
        for made in copy.glob("results.json*"):
            made.unlink()
        done = subprocess.run([sys.executable, "measure.py"], cwd=copy, capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.startswith("Error: ") and "is damaged" in done.stderr and done.stderr.count("\n") == 1


def test_truncated_results_are_refused(kit: Path, tmp_path: Path) -> None:
    copy = tmp_path / "kit"
    shutil.copytree(kit, copy)
    (copy / "results.json").write_text((copy / "results.json").read_text()[:200])
    with pytest.raises(ValueError, match="truncated"):
        import_kit(copy)


def test_graphs_without_weights_execute_the_same(tmp_path: Path) -> None:
    network = Network(SPACE.decode([1, 0, 2] * 7 + [1]))
    full = to_onnx(network, (1, 3, 16, 16))
    light = without_weights(full)
    assert light.ByteSize() < full.ByteSize() / 3
    executed = []
    for model in (full, light):
        run = session(model, str(tmp_path / "optimised.onnx"))
        executed.append([node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node])
    assert executed[0] == executed[1]
    out = run.run(None, {"input": np.ones((1, 3, 16, 16), np.float32)})[0]
    assert np.isfinite(out).all()


def test_kit_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="exists; name a new folder"):
        write_kit(SPACE, DEVICE, tmp_path / "there", effort=SMALL)
    with pytest.raises(ValueError, match="unknown runtime 'tflite'"):
        write_kit(SPACE, Device("board", runtime="tflite"), tmp_path / "kit", effort=SMALL)
    with pytest.raises(ValueError, match="runtime torch does not measure dtype=int8"):
        write_kit(SPACE, Device("board", runtime="torch", dtype="int8"), tmp_path / "kit", effort=SMALL)
    with pytest.raises(ValueError, match=r"name its device, device.name=phone"):
        write_kit(SPACE, Device(), tmp_path / "kit", effort=SMALL)

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("nas.latency.kits.files.write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        write_kit(SPACE, DEVICE, tmp_path / "kit", effort=SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
