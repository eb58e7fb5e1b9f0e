"""What eight bits cost and save: accuracy and paired latency of trained networks, with and without rounded training."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from experiments import records
from nas.data.torchvision import fashion_mnist
from nas.networks import model_folder
from nas.networks.trained_data import as_trained
from nas.runs.files import read_json

NETWORKS = ("mobilenetv2_035", "mobilenetv3_small_050", "mnasnet_small", "found")
RESOLUTION, IMAGES, EPOCHS, FURTHER = 32, 4_000, 6, 2
SEARCH = ("space=mobile", "method=random", "search.trials=6", "search.epochs=2", "latency=off", "budget.fraction=null")
SEARCH += ("budget.macs=3000000", "references.names=[]", "train.enabled=false")
RECIPE = ("recipe.batch_size=64", "recipe.lr=0.003", "recipe.optimizer=adamw", "recipe.augment=shift")
FILES = {  # each: what is done to the trained network before it is written in eight bits
    "as trained": None,
    "trained on": (),
    "trained on, rounded": ("quantize=int8",),
}


def command(name: str, *settings: str) -> None:
    """`python -m nas.<name>` in one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", f"nas.{name}", *settings], env=environment, check=True)


def done(folder: Path) -> tuple[str, ...]:
    """How a run directory is begun or continued."""
    return (f"resume={folder}",) if (folder / "config.yaml").exists() else (f"run_dir={folder}",)


class Experiment:
    def __init__(self, data: str, out: Path) -> None:
        self.root, self.out = data, out
        self.card = ("data=fashion_mnist", f"data.root={data}", f"data.resolution={RESOLUTION}")
        self.card += (f"data.train_limit={IMAGES}",)

    def trained(self, network: str, seed: int, further: tuple[str, ...] | None) -> Path:
        """The run of a training from scratch, or of one that goes on from it with settings of its own."""
        name = f"{network}-{seed}" + ("" if further is None else f"-on{'-rounded' if further else ''}")
        run = self.out / name
        if (run / "result.json").exists():
            return run
        settings = [*RECIPE, "recipe.warmup_epochs=0", "accelerator=cpu", f"seed={seed}", "evaluate_every=0"]
        if further is None:
            arch, epochs = self.found() if network == "found" else network, EPOCHS
            settings += ["recipe.zero_init_residual=true"]
        else:
            arch, epochs = str(self.trained(network, seed, None) / "arch.json"), FURTHER
            settings += [f"initial_weights={self.trained(network, seed, None)}", "recipe.lr=0.0005", *further]
        command("train", f"arch={arch}", *self.card, *settings, f"recipe.epochs={epochs}", *done(run))
        return run

    def found(self) -> str:
        """The arch file of a short random search of the recommended space below three million multiply-adds."""
        run = self.out / "search"
        if not (run / "result.json").exists():
            settings = (*SEARCH, *RECIPE, "recipe.epochs=2", "recipe.warmup_epochs=0", "recipe.zero_init_residual=true")
            command("search", *self.card, *settings, "accelerator=cpu", *done(run))
        return str(run / "arch.json")

    def measured(self, network: str, seed: int, how: str) -> dict[str, Any]:
        """The file in eight bits and what its receipt says, beside what ONNX Runtime alone answers."""
        run = self.trained(network, seed, FILES[how])
        file = run / "int8.onnx"
        command("export", f"arch={run}/model", *self.card, "device.dtype=int8", "largest_drop=100", f"output={file}")
        receipt = read_json(Path(f"{file}.json"), "receipt")
        real, latency = receipt["real"], receipt["latency"]
        keys = ("top1_percent", "float_top1_percent", "drop_points", "drop_error", "same_top1_percent", "images")
        return {
            "network": network,
            "seed": seed,
            "how": how,
            "params": read_json(run / "result.json", "result")["params"],
            "float_bytes": (run / "model" / "model.safetensors").stat().st_size,
            "int8_bytes": receipt["bytes"],
            **{key: real[key] for key in keys},
            "int8_ms": latency["median_ms"],
            "float_ms": latency["float_ms"],
            "fell_back": receipt["fell_back"],
            "answers_alone": self.alone(run, file) == real["answers_sha256"],
        }

    def alone(self, run: Path, file: Path) -> str:
        """The digest of what the file answers without this package, image by image."""
        data = as_trained(fashion_mnist(self.root, RESOLUTION, IMAGES), model_folder.folder_in(str(run / "model")))
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        parts = (session.run(None, {"input": images.numpy()})[0].argmax(1) for images, _ in data.test.in_order(100))
        return hashlib.sha256(np.concatenate(list(parts)).astype("<i8").tobytes()).hexdigest()


def report(found: list[dict[str, Any]]) -> None:
    columns = "float top-1 | int8 top-1 | loss, points | float ms | int8 ms | ratio | same answers alone"
    print(f"| network | seed | | {columns} |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for r in found:
        print(
            f"| {r['network']} | {r['seed']} | {r['how']} | {r['float_top1_percent']:.2f} | {r['top1_percent']:.2f} | "
            f"{r['drop_points']:.2f} ± {r['drop_error']:.2f} | {r['float_ms']:.3f} | {r['int8_ms']:.3f} | "
            f"{r['int8_ms'] / r['float_ms']:.2f} | {'yes' if r['answers_alone'] else 'no'} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="Fashion-MNIST as .npz or torchvision's folder")
    parser.add_argument("--out", type=Path, default=Path("runs/int8"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--report", type=Path, help="print the table of this results.jsonl instead")
    options = parser.parse_args()
    if options.report:
        report(records.read(options.report))
        return
    if not options.data:
        parser.error("--data (to run) or --report (to read) is needed")
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "results.jsonl"
    found, experiment = records.finished(file), Experiment(options.data, options.out)
    known = {(r["network"], r["seed"], r["how"]) for r in found}
    for seed in range(options.seeds):
        for network in NETWORKS:
            for how in FILES:
                if (network, seed, how) not in known:
                    found.append(experiment.measured(network, seed, how))
                    records.write(file, found)
                    print(json.dumps(found[-1]), flush=True)
    report(found)


if __name__ == "__main__":
    main()
