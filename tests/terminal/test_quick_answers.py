"""Help, listings and mistakes are answered before the libraries that compute are imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = ["torch", "timm", "torchvision", "optuna", "onnx", "onnxruntime", "sklearn", "scipy"]
HEAVY += ["pandas", "accelerate", "matplotlib"]
COMMANDS = [
    "derive",
    "doctor",
    "evaluate",
    "export",
    "inspect",
    "latency",
    "new",
    "report",
    "search",
    "status",
    "train",
    "zoo",
]
WORK = [
    ["nas"],
    ["nas.zoo"],
    ["nas.doctor", "imports=false"],
    ["nas.inspect", "space=fbnet"],
    *([f"nas.{name}", "--help"] for name in COMMANDS),
]
MISTAKES = [  # beside those of test_typical_mistakes.py
    *([f"nas.{name}", "no_such_key=1"] for name in COMMANDS),
    *([f"nas.{name}", "device=no_such_card"] for name in ("evaluate", "export", "latency", "zoo")),
    ["nas.search", "budget.fraction=3"],
    ["nas.search", "search.trials=0"],
    ["nas.search", "method.epochs=0"],
    ["nas.search", "method=predictor", "predictor.iterations=a"],
    ["nas.search", "method=tpe", "method.startup_candidates=0"],
    ["nas.search", "recipe.epochs=0"],
    *(["nas.search", f"method.{name}=-1"] for name in ("weight_decay", "theta_weight_decay", "temperature_decay")),
    *(["nas.search", f"method.weight_momentum={bad}"] for bad in (-1, 1)),
    ["nas.search", "method=single_path", "space=single_path", "method.weight_decay=-1"],
    *(["nas.search", f"search.{name}=-1"] for name in ("attempts", "stop_correlation", "validation_fraction")),
    *(["nas.search", f"pretraining.{name}=-1"] for name in ("random", "distillation", "recipe.epochs")),
    ["nas.search", "pretraining.sampling=no_such_way"],
    *(["nas.search", f"{group}.resolution={bad}"] for group in ("data", "space") for bad in ("a", "-1", "[8,0]")),
    *(["nas.search", f"space.{name}=-1"] for name in ("num_classes", "in_channels")),
    ["nas.search", "space=mobile", "space.forms=[no_such_form]"],
    ["nas.search", "method=single_path"],
    ["nas.search", "device.threads=9999"],
    ["nas.search", "distill_temperature=-1"],
    ["nas.search", "latency=off"],
    ["nas.search", "method.predictor.iterations=-1"],
    *(["nas.search", f"{key}=no/such/file"] for key in ("teacher", "teacher_weights")),
    ["nas.search", "device=table", "device.file=missing.json"],
    ["nas.search", "device=ssh", "device.host=pi@board", "device.dtype=no_such_dtype"],
    ["nas.search", "arch=missing.json"],
    *(
        [f"nas.{name}", f"arch={bad}"]
        for name in ("evaluate", "export", "train")
        for bad in ("missing.json", "fbnet_z")
    ),
    ["nas.train", "arch=fbnet_a", "recipe.lr=a"],
    ["nas.train", "arch=fbnet_a", "evaluate_every=-1"],
    ["nas.train", "arch=fbnet_a", "teacher_weights=no/such/file"],
    *(["nas.train", "arch=fbnet_a", bad] for bad in ("layer_decay=2", "recipe.epochs=-1")),
    ["nas.train", "arch=fbnet_a", "data.resolution=-1"],
    ["nas.derive", "run=nowhere"],
    ["nas.derive", "run=nowhere", "count=0"],
    ["nas.derive", "run=nowhere", "budget.latency_ms=0"],
    ["nas.derive", "run=begun"],
    ["nas.latency", "effort.rounds=0"],
    *(["nas.latency", bad] for bad in ("device.dtype=no_such_dtype", "space.width=-1")),
    *(["nas.inspect", bad] for bad in ("device.dtype=no_such_dtype", "space.width=-1")),
    ["nas.evaluate", "arch=fbnet_a", "batch_size=0"],
    ["nas.evaluate", "arch=fbnet_a", "checkpoint=begun", "resolutions=[-1]"],
    ["nas.evaluate", "arch=fbnet_a", "checkpoint=begun", "device.dtype=no_such_dtype"],
    ["nas.export", "arch=fbnet_a", "checkpoint=missing.pt"],
    *(
        ["nas.export", "arch=fbnet_a", "checkpoint=random", bad]
        for bad in (
            "device.dtype=no_such_dtype",
            "calibration=no_such_way",
            "opset=3",
            "tolerance=-1",
        )
    ),
    ["nas.export", "arch=fbnet_a", "device.threads=0"],
]
# Each command in turn, as `python -m` runs it: its exit status, and the heavy modules that are imported by then.
ALL = """
import contextlib, io, json, runpy, sys
from tests.composing import compose_once
compose_once()
found = []
for argv in json.loads(sys.argv[1]):
    sys.argv = list(argv)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            runpy.run_module(argv[0], run_name="__main__")
            status = 0
        except SystemExit as error:
            status = error.code or 0
    found.append([status, sorted(set(HEAVY) & set(sys.modules))])
print(json.dumps(found))
"""


def test_answers_come_before_heavy_imports(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", f"HEAVY = {HEAVY!r}{ALL}", json.dumps(WORK + MISTAKES)]
    root = str(Path(__file__).resolve().parents[2])
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.yaml").write_text("seed: 0\n")
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout)
    for argv, (status, imported) in zip(WORK + MISTAKES, answers, strict=True):
        assert not imported, f"{' '.join(argv)} imports {', '.join(imported)}"
        assert status == (2 if argv in MISTAKES else 0), f"{' '.join(argv)} ends with {status}"
