"""Files that torch alone runs: checked where this package, its spaces and timm cannot be imported."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.data.digits import digits
from nas.export.__main__ import main
from nas.export.exporting import export
from nas.export.formats import onnx, python
from nas.export.standalone.python_file import text_of
from nas.networks import model_folder
from nas.networks.creation import create_model
from nas.networks.model_card import About
from tests.export.test_export import short_rexnet, small

ALONE = """
import sys, json
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("nas", "search_spaces", "predictors", "timm", "safetensors", "conf"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import torch
images = torch.load("images.pt")
extra = {"images.json": ""}
program = torch.export.load("net.pt2", extra_files=extra).module()
import net
found = {"program": program(images), "python": net.load()(images)}
torch.save(found, "found.pt")
print(json.dumps({"program": json.loads(extra["images.json"]), "python": net.IMAGES}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of a small network whose batch norms have seen images."""
    network = small()
    network.train()
    for seed in range(3):
        network(torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(seed)))
    return model_folder.write(tmp_path_factory.mktemp("standalone") / "net", network, About(data=digits()))


def test_torch_alone_runs_them(folder: Path, tmp_path: Path) -> None:
    main([f"arch={folder}", "format=python", f"output={tmp_path}/net.py", "measure=false"])
    main([f"arch={folder}", "format=torch_export", f"output={tmp_path}/net.pt2", "measure=false"])
    images = torch.randn(7, 1, 16, 16)
    torch.save(images, tmp_path / "images.pt")
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    with torch.inference_mode():
        expected = create_model(folder).eval()(images)
    for name, logits in torch.load(tmp_path / "found.pt").items():
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5, msg=name)
    wanted = json.loads(json.dumps(model_folder.images_of(folder)))
    assert json.loads(done.stdout.splitlines()[-1]) == {"program": wanted, "python": wanted}
    report = json.loads((tmp_path / "net.py.json").read_text())
    assert report["batch"] == "dynamic" and report["images"]["label_names"] == list(digits().class_names)
    assert report["bytes"] == sum((tmp_path / name).stat().st_size for name in ("net.py", "net_weights.safetensors"))
    text = (tmp_path / "net.py").read_text()
    assert "torch.ops.aten" not in text and "# blocks.0.0" in text
    with (tmp_path / "net_weights.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    with pytest.raises(ValueError, match="is damaged"):
        python.load(tmp_path / "net.py")


class Odd(nn.Module):
    """Weights outside of layers, one layer used twice, and an operation that has no spelling of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([2.0, 3.0, 5.0])[:, None, None])
        self.conv = nn.Conv2d(3, 3, (1, 3), padding=(0, 1), dilation=1, bias=False)
        self.norm = nn.BatchNorm2d(3, eps=1e-3, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(self.conv(x * self.scale)))
        z = torch.nn.functional.logsigmoid(y)
        return torch.cat([(x + z).mean((2, 3)), y.amax((2, 3))], 1)


def test_what_no_layer_of_ours_does_is_written_too(tmp_path: Path) -> None:
    network, images = Odd().eval(), torch.randn(5, 3, 4, 4)
    python.write(network, (3, 4, 4), 1, path := tmp_path / "odd.py")
    assert "torch.ops.aten" in path.read_text()
    np.testing.assert_allclose(python.load(path)(images.numpy()), network(images).detach().numpy(), rtol=1e-5)


def test_shortcuts_that_widen_are_written(tmp_path: Path) -> None:
    report = export(create_model(short_rexnet()), tmp_path / "rexnet.py", "python")
    assert report["random"]["max_difference"] <= 1e-5 * max(report["random"]["largest_logit"], 1.0)
    text = (tmp_path / "rexnet.py").read_text()
    assert "torch.cat([" in text and "torch.ops.aten" not in text


def test_a_file_that_computes_otherwise_leaves_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.export.standalone import python_file

    def wrong(source, *rest: object) -> str:
        source.forward[-1] += " + 1"
        return text_of(source, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(python_file, "text_of", wrong)
    with pytest.raises(ValueError, match="differs from torch"):
        export(small(), tmp_path / "net.py", "python")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_goes_with_the_next_of_its_name(tmp_path: Path) -> None:
    gone = (".net-partial-abcd1_34.py", ".net-partial-abcd1_34_weights.safetensors", ".net.py-partial-abcd1_34.json")
    for name in (*gone, ".net-partial-abcd1_35_weights.safetensors", ".net2-partial-abcd1_34.py"):
        (tmp_path / name).touch()
    (tmp_path / ".net-partial-at_work0_weights.safetensors").touch()
    with (tmp_path / ".net-partial-at_work0.py").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        export(small(), tmp_path / "net.py", "python")
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        ".net-partial-at_work0.py", ".net-partial-at_work0_weights.safetensors", ".net2-partial-abcd1_34.py", "net.py",
        "net_weights.safetensors",
    ]  # fmt: skip


def test_an_onnx_file_says_its_images_and_has_the_opset_that_is_asked(folder: Path, tmp_path: Path, capsys) -> None:
    import onnx as library

    main([f"arch={folder}", f"output={tmp_path}/net.onnx", "opset=18", "measure=false"])
    model = library.load(tmp_path / "net.onnx")
    assert next(each.version for each in model.opset_import if each.domain == "") == 18
    said = {each.key: json.loads(each.value) for each in model.metadata_props}
    wanted = json.loads(json.dumps(model_folder.images_of(folder)))
    assert {key: said[key] for key in wanted} == wanted and {"mean", "std", "input_size", "label_names"} <= set(said)
    with pytest.raises(ValueError, match="opset must be 18 to 23, got 9"):
        onnx.of_opset(9)
    with pytest.raises(SystemExit):
        main([f"arch={folder}", "format=python", "opset=18", "measure=false"])
    assert "opset=18 is for format=onnx" in capsys.readouterr().err
