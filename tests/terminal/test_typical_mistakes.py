"""What people type who have just begun: one line that names the value, the constraint and the fix, before torch is
imported, exit status 2, and nothing is written."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.terminal.test_quick_answers import HEAVY
from tests.test_docs import ROOT

TYPICAL = [
    ("search sapce=fbnet", ["no key 'sapce'", "did you mean space?"]),
    ("search space=fbnt", ["unknown space=fbnt", "mobile", "did you mean fbnet?"]),
    ("search space fbnet", ["'space' is not a setting", "key=value", "here space=..."]),
    ("search fbnet", ["'fbnet' is not a setting", "here space=fbnet"]),
    ("search --space fbnet", ["no option --space", "here space=..."]),
    ("search predictor=gp", ["unknown predictor=gp", "did you mean gaussian_process?"]),
    ("search method=random method.epochs=3", ["the method in use has no key", "method=dnas, masking, single_path"]),
    ("search method.mode=sfot", ["method.mode must be one of soft, top2, hard", "'sfot'"]),
    ("search epochs=10", ["no key 'epochs'", "recipe.epochs"]),
    ("search lr=0.1", ["no key 'lr'", "did you mean recipe.lr?"]),
    ("search recipe.optimizer=AdamW", ["optimizer must be one of", "adamw", "'AdamW'"]),
    ("search recipe.mixup=0.2", ["does not list recipe.mixup", "+recipe.mixup=0.2"]),
    ("train arch=fbnetc_100 recipe.momentun=0.9", ["no key 'recipe.momentun'", "did you mean recipe.momentum?"]),
    ("search latency_ms=2", ["no key 'latency_ms'", "budget.latency_ms"]),
    ("search budget=2", ["budget is a group of settings, got 2", "budget.latency_ms=..."]),
    ("search budget.latency_ms=2ms", ["budget.latency_ms must be a number", "'2ms'"]),
    ("search budget.latency_ms=0", ["budget.latency_ms must be a positive number of milliseconds, got 0"]),
    ("search budget.macs=-5", ["budget.macs must be a positive number of multiply-adds, got -5"]),
    ("search data=imagenet", ["unknown data=imagenet", "did you mean imagefolder?"]),
    ("search data.root=pictures", ["the data in use has no key 'data.root'", "imagefolder"]),
    ("search data=imagefolder data.root=nowhere", ["data.root=nowhere is not a directory", "train/<class>/"]),
    ("search data=cifar10", ["data.root=data is not a directory", "download=True"]),
    ("search device=gpu", ["unknown device=gpu", "local, ssh, table", "accelerator=cuda", "device.processor=cuda"]),
    ("search device.processor=gpu", ["processor=gpu", "one of cpu, cuda"]),
    ("search accelerator=gpu", ["accelerator must be one of auto, cpu, cuda, got 'gpu'"]),
    ("search device.runtime=tensorrt", ["unknown runtime 'tensorrt'", "onnxruntime"]),
    ("search device.threads=0", ["threads must be a whole number >= 1, got 0"]),
    ("search device.dtype=fp16", ["onnxruntime does not measure dtype=fp16", "fp32, int8"]),
    ("search device.runtime=torch device.dtype=int8", ["torch does not measure dtype=int8", "fp32, bf16"]),
    ("search space.width=-1", ["space.width must be a number > 0 or null, got -1"]),
    ("search space.head_channels=0", ["space.head_channels must be a whole number >= 1, got 0"]),
    ("search space.geometry=tiny", ["space.geometry must be one of auto, paper, small, got 'tiny'"]),
    ("search space.candidates=[k3_e2]", ["'k3_e2'", "k3_e1"]),
    ("search space=mobile method=dnas", ["one set of weights needs one size", "method=predictor"]),
    ("search space.method=dnas", ["space.method=dnas changes nothing", "method=..."]),
    ("search space=fbnetv3 method=single_path", ["needs a layer-wise space", "fbnetv3 is not one"]),
    ("search references.names=[mobilenet_v9]", ["'mobilenet_v9'"]),
    ("search distill_alpha=2", ["distill_alpha must be a number > 0 and <= 1 or null, got 2"]),
    ("search predictor.iterations=-1", ["predictor.iterations must be a whole number >= 0, got -1"]),
    ("search method=random latency=off budget.latency_ms=2", ["latency=off", "budget.latency_ms", "leave one"]),
    (
        "search budget.latency_ms=2 budget.fraction=0.5",
        ["budget.fraction=0.5", "beside budget.latency_ms=2", "leave one"],
    ),
    (
        "search budget.macs=1e6 budget.fraction=0.5",
        ["budget.fraction=0.5", "beside budget.macs", "budget.latency_ms=..."],
    ),
    ("derive run=r budget.latency_ms=2 budget.fraction=0.5", ["budget.fraction=0.5", "beside budget.latency_ms=2"]),
    ("search teacher=resnet18", ["the teacher resnet18 has no weights", "teacher_weights=<file>"]),
    ("train arch=fbnetc_100 teacher=resnet18", ["the teacher resnet18 has no weights", "teacher_weights=<file>"]),
    ("search teacher_weights=best.pt", ["teacher_weights=best.pt are of no network", "teacher="]),
    ("search data=npz data.root=/dev/null data.num_classes=1", ["data.num_classes", "from 2 to", "got 1"]),
    ("search device=ssh", ["device=ssh needs the machine", "device.host=pi@board"]),
    ("search space.resolution=32x32", ["space.resolution must be a whole number or [height, width]", "'32x32'"]),
    ("search debug=1", ["debug must be true or false, got 1"]),
    ("search seed=1,2,3", ["seed=1,2,3 gives several values", "--multirun"]),
    ("search 'run_dir=my run (1)'", ["cannot be read", "'run_dir=\"my run (1)\"'"]),
    ("search search.storage=trials.db", ["search.storage='trials.db'", "sqlite:///"]),
    ("search search.trials=8 search.finalists=5", ["search.finalists=5", "half of search.trials=8", "at most 4"]),
    ("search trackers=[wandbb]", ["none called 'wandbb'", "mlflow", "wandb"]),
    ("train arch=fbnetc_100 trackers=[aim]", ["aim is not installed", "pip install aim"]),
    ("search resume=runs/first", ["runs/first is not a run directory"]),
    ("search --config-dir my_cards space=mine", ["--config-dir my_cards: there is no such folder"]),
    ("latency action=import file=x.csv", ["action=import needs format=csv|"]),
    ("derive", ["run has no value", "run=..."]),
    ("train", ["arch has no value", "arch=..."]),
    ("train arch=fbnet_b2", ["unknown network 'fbnet_b2'", "fbnet_b"]),
    ("export arch=fbnetc_100 format=tflite", ["unknown format 'tflite'", "litert"]),
    ("train arch=fbnetc_100 initial_weights=best.pt", ["no weights file at best.pt"]),
    ("train arch=fbnetc_100 quantize=int4", ["quantize must be one of int8 or null, got 'int4'"]),
    ("evaluate arch=fbnetc_100", ["no weights for fbnetc_100", "checkpoint=<file>"]),
    ("evaluate arch=fbnetc_100 checkpoint=best.pt", ["no weights file at best.pt"]),
    ("export arch=fbnetc_100", ["no weights for fbnetc_100", "checkpoint=random"]),
    ("export arch=fbnetc_100 checkpoint=random output=net.tflite", ["ends in .onnx", "output=net.tflite"]),
    ("export arch=fbnetc_100 checkpoint=random device.dtype=int8", ["training images", "give data=", "fp32"]),
    ("latency pin=true device.threads=2", ["pin=true", "device.threads=2", "use one"]),
    ("latency pin=true device=ssh device.host=pi@board", ["pin=true", "leave it out"]),
    ("latency action=import kit=kits/board", ["no latency kit at kits/board"]),
    ("latency device.threads=9999", ["threads=9999", "cores", "use at most"]),
    ("report", ["name the run directory", "python -m nas.report run=runs/..."]),
    ("status run=runs", ["runs holds no run", "run=<a run directory>"]),
    ("inspect space=fbnetv2", ["unknown space=fbnetv2", "did you mean fbnetv3?"]),
    ("new kind=model name=mine", ["no kind=model", "space, method, device, data"]),
    ("new kind=space name=2fast", ["'2fast'", "name=my_space"]),
    ("new kind=space name=random", ["Python has a module 'random' already", "another name="]),
    ("new kind=space name=fbnet", ["a card space=fbnet already", "another name="]),
]
# All of them by one process that imports each command once: exit status, stderr, heavy modules, files.
ALL = """
import contextlib, importlib, importlib.util, io, json, os, shlex, sys
from tests.composing import compose_once
compose_once()
found = []
for line in json.loads(sys.argv[1]):
    name, *words = shlex.split(line)
    is_package = importlib.util.find_spec(f"nas.{name}").submodule_search_locations is not None
    said, shown = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(shown):
        try:
            importlib.import_module(f"nas.{name}.__main__" if is_package else f"nas.{name}").main(words)
            status = 0
        except SystemExit as stop:
            status = stop.code
    found.append([status, said.getvalue(), sorted(set(HEAVY) & set(sys.modules)), os.listdir()])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, list[str], list[str]]]:
    lines = [line for line, _ in TYPICAL]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"HEAVY = {HEAVY!r}{ALL}", json.dumps(lines)],
        cwd=tmp_path_factory.mktemp("begun"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(lines, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(("line", "words"), TYPICAL, ids=[line for line, _ in TYPICAL])
def test_one_line_says_what_is_wrong_and_what_would_be_right(
    answers: dict[str, tuple[int, str, list[str], list[str]]], line: str, words: list[str]
) -> None:
    status, text, imported, written = answers[line]
    assert status == 2, text
    assert text.startswith("error: ") and text.count("\n") == 1 and "Traceback" not in text, text
    for word in words:
        assert word in text, text
    assert not imported and not written, (imported, written)


@pytest.mark.slow
@pytest.mark.parametrize("line", [TYPICAL[i][0] for i in (0, 6, 16, 21, 27)])
def test_the_answer_comes_at_once(line: str, tmp_path: Path) -> None:
    """As a process, the quickest of three: 1.5 seconds at most."""
    name, *words = shlex.split(line)
    took = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", f"nas.{name}", *words], cwd=tmp_path, capture_output=True, text=True
        )
        took.append(time.perf_counter() - began)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert min(took) <= 1.5, took
