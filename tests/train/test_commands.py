"""`nas.train` and `nas.evaluate` as a user types them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import nas
from nas.data.digits import digits
from nas.evaluate import __main__ as evaluate
from nas.networks.trained_data import renamed
from nas.runs import checkpoint
from nas.runs.result_file import CLASSES
from nas.runs.run import Run
from nas.train import __main__ as train
from nas.train.accuracy import evaluate as evaluate_network
from nas.train.setup import is_published_name, short_name
from search_spaces.arch import Arch
from search_spaces.memory.counted import Counted
from tests.data.test_data_folders import write_images

SHORT = ["recipe.epochs=2", "recipe.batch_size=256", "accelerator=cpu"]


@pytest.fixture()
def folder(arch: Arch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "arch.json").write_text(arch.to_json())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(command, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr with which `command` refuses `arguments`."""
    with pytest.raises(SystemExit) as stopped:
        command(list(arguments))
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_train_then_evaluate(folder: Path, two_processes: None, capsys: pytest.CaptureFixture[str]) -> None:
    train.main(["arch=arch.json", "run_dir=one", *SHORT])
    out = capsys.readouterr().out
    assert "digits (1,348 training and 449 test images of 1x8x8, 10 classes), 2 epochs" in out
    # a line of its own: a table folds its cells
    assert out.splitlines()[-2].startswith("next: python -m nas.evaluate arch=one/model data=digits")
    assert out.splitlines()[-1] == "all of it on one page: one/report.html"
    page = Path("one/report.html").read_text()
    assert "Class by class</h2>" in page and "train: accuracy, %" in page and "test image " in page
    result = json.loads(Path("one/result.json").read_text())
    needed = ("space", "method", "seed", "device", "asked_latency_ms", "estimated_latency_ms", "measured_latency_ms")
    assert all(key in result for key in (*needed, "params", "macs", "top1_percent", "search_seconds", "train_seconds"))
    steps = [json.loads(line) for line in Path("one/metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in steps] == [0, 1]
    assert steps[-1]["top1_percent"] == result["top1_percent"]
    assert all(0 <= record["train_top1_percent"] <= 100 for record in steps)
    assert Arch.load("one/arch.json") == Arch.load("arch.json")
    assert "Top-1 accuracy" in Path("one/model/README.md").read_text()

    evaluate.main(["arch=one/model", "run_dir=two", "accelerator=cpu"])
    found = json.loads(Path("two/metrics.json").read_text())
    assert found["top1_percent"] == pytest.approx(
        result["top1_percent"], abs=0.3
    )  # another batch size rounds otherwise
    assert found["measured_latency_ms"] > 0
    confusion = torch.tensor(found["confusion"])
    assert int(confusion.sum()) == 449 and 0 <= found["calibration_error_percent"] <= 100
    assert 100 * float(confusion.diagonal().sum()) / 449 == pytest.approx(found["top1_percent"])
    assert found["class_percent"]["3"] == pytest.approx(100 * float(confusion[3, 3] / confusion[3].sum()))
    assert found["device"] == "local-onnxruntime-fp32-b1-t1"
    evaluate.main(["arch=arch.json", "checkpoint=one/checkpoints/train.pt", "run_dir=three", "measure=false"])
    evaluate.main(["arch=one/model", "run_dir=four", "device.name=pixel3", "device.dtype=int8"])
    other = json.loads(Path("four/metrics.json").read_text())
    assert other["measured_latency_ms"] is None and "device pixel3 is not this machine" in other["not_measured"]
    assert found["not_measured"] is None
    floats, eights = Counted(), Counted("int8")
    arch = Arch.load("one/arch.json")
    for record, counted in ((result, floats), (found, floats), (other, eights)):
        assert (record["memory_kib"], record["weights_kib"]) == (arch.memory_kib(counted), arch.weights_kib(counted))
        assert record["counted"] == dataclasses.asdict(counted)
    said = out + capsys.readouterr().out
    assert said.count("KiB of activations (fp32)") == 3 and said.count("KiB of activations (int8)") == 1
    assert json.loads(Path("three/metrics.json").read_text())["loss"] == found["loss"]
    network = nas.create_model("one/model")
    assert network.num_classes == 10


@pytest.mark.parametrize("kept", [0, 1])
def test_killed_training_is_resumed_to_the_same_end(
    kept: int, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train.main(["arch=arch.json", "run_dir=whole", *SHORT])
    real, calls = checkpoint.save, []

    def killed(path: Path, state: dict) -> Path:
        if len(calls) == kept:
            raise KeyboardInterrupt
        calls.append(path)
        return real(path, state)

    monkeypatch.setattr(checkpoint, "save", killed)
    with pytest.raises(SystemExit) as stopped:
        train.main(["arch=arch.json", "run_dir=cut", *SHORT])
    assert stopped.value.code == 130
    monkeypatch.setattr(checkpoint, "save", real)
    Path("arch.json").unlink()  # the run holds its own copy
    train.main(["resume=cut"])
    for name in ("model/model.safetensors",):
        assert (Path("whole") / name).read_bytes() == (Path("cut") / name).read_bytes()

    def records(run: str) -> list[dict]:
        lines = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in line.items() if k not in ("time", "train_seconds")} for line in lines]

    assert records("whole") == records("cut")


def test_a_published_network_is_fitted_to_the_data(
    few_digits: None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["data.resolution=16", "recipe.epochs=2", "recipe.batch_size=1348", "evaluate_every=0", "accelerator=cpu"]
    train.main(["arch=mobilenetv2_035", "run_dir=one", *data])
    out = capsys.readouterr().out
    for change in ("classes changed from 1000 to 10", "input channels changed from 3 to 1", "from 224 to 16"):
        assert change in out
    arch = Arch.load("one/arch.json")
    assert (arch.resolution, arch.in_channels, arch.num_classes) == (16, 1, 10)
    train.main(["arch=one/arch.json", "initial_weights=one/model", "run_dir=two", *data])
    assert "changed from" not in capsys.readouterr().out
    taken = json.loads(Path("two/result.json").read_text())["taken_over"]
    assert taken["origin"] == "one/model" and taken["taken"] > 100 and not taken["adapted"] and not taken["fresh"]
    before = Path("two/result.json").read_bytes()
    for path in (*Path("one/model").iterdir(), Path("two/result.json")):
        path.unlink()
    train.main(["resume=two"])  # its checkpoint supersedes the weights it began with
    assert Path("two/result.json").read_bytes() == before


def test_refusals_leave_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.iterdir())
    for arguments, message in (
        (["arch=none.json"], "no arch file or model folder at none.json"),
        (["arch=fbnetc_99"], "unknown network"),
        (["arch=arch.json", "data=cifar10"], "data.root=data is not a directory"),
        (["arch=arch.json", "data=cifar11"], "cifar10"),
        (["arch=arch.json", "recipe=slow"], "quick"),
        (["arch=arch.json", "recipe.lr=-1"], "recipe: lr must be greater than 0, got -1"),
        (["arch=arch.json", "recipe.learning_rate=1"], "learning_rate"),
        (["arch=arch.json", "recipe.optimizer=sdg"], "optimizer must be one of sgd, nesterov, adam"),
        (["arch=arch.json", "accelerator=tpu"], "accelerator must be one of auto, cpu, cuda, got 'tpu'"),
        (["arch=arch.json", "evaluate_every=-1"], "evaluate_every must be at least 0"),
        (["arch=arch.json", "seed=one"], "seed"),
        (["arch=arch.json", "accumulate=7"], "batch_size 32 cannot be shared by 1 process and accumulate=7"),
        (["arch=arch.json", "initial_weights=none.pt"], "no weights file at none.pt"),
        (["resume=none"], "none is not a run directory"),
        ([], "arch"),
    ):
        assert message in refused(
            train.main, capsys, *(["run_dir=made", "accelerator=cpu"] if arguments else []), *arguments
        )
    for arguments, message in (
        (["arch=arch.json"], "no weights for arch.json: give checkpoint=<file>"),
        (["arch=arch.json", "checkpoint=none.pt"], "no weights file at none.pt"),
        (["arch=arch.json", "checkpoint=arch.json"], "arch.json"),
        (["arch=arch.json", "batch_size=0"], "batch_size must be at least 1"),
        (["arch=arch.json", "device.threads=0"], "threads must be"),
    ):
        assert message in refused(evaluate.main, capsys, *arguments, "run_dir=made")
    assert sorted(folder.iterdir()) == before


def test_weights_of_another_network_or_data(folder: Path, arch: Arch, data, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint.save_weights("w.safetensors", {"x": torch.zeros(1)})
    line = refused(evaluate.main, capsys, "arch=arch.json", "checkpoint=w.safetensors")
    assert "does not fit the network" in line
    Path("three.json").write_text(arch.with_classes(3).to_json())
    network = nas.create_model("three.json")
    checkpoint.save_weights("three.safetensors", network.state_dict())
    line = refused(evaluate.main, capsys, "arch=three.json", "checkpoint=three.safetensors")
    assert "data digits has 10 classes" in line
    assert not Path("runs").exists()


def test_a_class_that_has_another_name_since_a_run_began_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images in memory are known by their pixels and labels, which a folder's name is none of."""
    write_images(folder / "pets", {"cat": 8, "dog": 8}, (8, 8))
    pets = ["data=imagefolder", "data.root=pets", "data.resolution=8", "recipe.epochs=1", "recipe.batch_size=4"]
    train.main(["arch=arch.json", "run_dir=one", "accelerator=cpu", *pets])
    train.main(["resume=one"])
    assert "called otherwise" not in capsys.readouterr().out
    (folder / "pets" / "dog").rename(folder / "pets" / "hound")
    train.main(["resume=one"])
    said = (
        "NOTE: classes of pets are called otherwise than when the run began, and so are the model's outputs: 'dog' is"
    )
    assert f"{said} 'hound' now" in " ".join(capsys.readouterr().out.split())
    for text in ("[", "{}"):  # damaged, or of an earlier version
        (folder / "one" / "checkpoints" / CLASSES).write_text(text)
        assert renamed(folder / "one" / "checkpoints", digits()) == ""


def test_diverged_training_keeps_the_last_good_epoch(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["recipe.optimizer=sgd", "recipe.lr=1e30", "recipe.warmup_epochs=0", "recipe.schedule=constant", *SHORT]
    line = refused(train.main, capsys, "arch=arch.json", "run_dir=one", *options)
    assert "training diverged" in line
    assert "epoch 1, step" in line
    assert not Path("one/result.json").exists()


def test_settings_that_were_refused_on_resuming_are_not_kept(tmp_path: Path) -> None:
    former, cured, refused_ones = ({"recipe": {"lr": lr}, "resume": None} for lr in (0.1, 0.01, 7.0))
    with Run.open(str(tmp_path / "one"), None, "train", former) as run:
        checkpoint.save(run.checkpoints / "train.pt", {"epoch": 1})
    with pytest.raises(ValueError, match="finished"), Run.open(None, str(run.path), "train", refused_ones):
        raise ValueError("finished")
    assert Run.read_config(run.path)["recipe"] == {"lr": 0.1}
    with pytest.raises(ValueError, match="diverged"), Run.open(None, str(run.path), "train", cured):
        checkpoint.save(run.checkpoints / "train.pt", {"epoch": 2})
        raise ValueError("diverged again")
    assert Run.read_config(run.path)["recipe"] == {"lr": 0.01}  # an epoch was made with it


def test_names() -> None:
    assert short_name("runs/a/arch.json").endswith("a")
    assert short_name("nets/small.json") == "small"
    assert short_name("fbnetc_100") == "fbnetc_100"
    assert is_published_name("fbnetc_100")
    assert is_published_name("fbnetc_100.rmsp_in1k")
    assert not is_published_name("x.json")


@pytest.mark.slow
@pytest.mark.parametrize("average", [[], ["+recipe.ema_decay=0.9"]])
def test_two_processes_share_one_run(average: list[str], folder: Path) -> None:
    """What `accelerate launch` starts: every process trains on its part of each batch, one of them writes."""
    command = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29631", "-m", "nas.train"]
    done = subprocess.run(
        [sys.executable, *command, "arch=arch.json", "run_dir=one", "recipe.epochs=6", "accelerator=cpu", *average],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("result of one") == 1
    result = json.loads(Path("one/result.json").read_text())
    assert result["top1_percent"] > 85
    network = nas.create_model("one/model")
    found = evaluate_network(network, digits(8).test)  # the receipt is the model: not one process's statistics
    assert found["top1_percent"] == result["top1_percent"]
    assert found["loss"] == pytest.approx(result["loss"], rel=1e-5)
    assert (result["kept_average"] is None) == (not average)
    assert len(Path("one/metrics.jsonl").read_text().splitlines()) == 6
