"""Finished runs whose files are damaged before a command goes on with them: the long way to the same readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.evaluate.__main__ import main as evaluate
from nas.search.__main__ import main as search
from nas.train.__main__ import main as train
from tests.fuzz.files import Kind

SMALL = ["space=fbnet", "space.width=0.25", "space.head_channels=32", "space.candidates=[k3_e1,skip]"]
SMALL += ["space.resolution=8", "latency=off", "budget.macs=100000000"]
QUICK = ["recipe=quick", "recipe.epochs=1", "recipe.batch_size=8"]


def data_of(folder: Path) -> list[str]:
    return ["data=npz", f"data.root={folder / 'data.npz'}"]


def go_on_searching(folder: Path) -> None:
    search([f"resume={folder / 'found'}", *data_of(folder)])


def go_on_training(folder: Path) -> None:
    train([f"resume={folder / 'trained'}", *data_of(folder)])


def evaluate_model(folder: Path) -> None:
    evaluate(
        [f"arch={folder / 'trained' / 'model'}", "measure=false", f"run_dir={folder / 'evaluated'}", *data_of(folder)]
    )


def write_all(root: Path) -> None:
    folder = root / "runs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    parts = {f"x_{part}": rng.integers(0, 255, (40, 8, 8), dtype=np.uint8) for part in ("train", "test")}
    np.savez(folder / "data.npz", **parts, **{f"y_{part}": np.arange(40) % 4 for part in ("train", "test")})
    data = data_of(folder)
    trials = ["method=random", "search.trials=2", "search.epochs=1"]
    search([*SMALL, *QUICK, *data, *trials, f"run_dir={folder / 'found'}"])
    train([f"arch={folder / 'found' / 'arch.json'}", *QUICK, *data, f"run_dir={folder / 'trained'}"])


SEARCHED = {
    **dict.fromkeys(("config.yaml", "checkpoints/config.yaml"), "yaml"),
    **dict.fromkeys(("env.json", "trials.json", "derived.json", "recipe.json", "arch.json", "result.json"), "json"),
    **dict.fromkeys(("checkpoints/id.json", "checkpoints/search.json"), "json"),
    **{"metrics.jsonl": "lines", "trials.db": "database", "checkpoints/train.pt": "state"},
}
TRAINED = {"config.yaml": "yaml", "env.json": "json", "metrics.jsonl": "lines", "checkpoints/train.pt": "state"}
KINDS = (
    *(Kind("runs", f"found/{name}", form, go_on_searching) for name, form in SEARCHED.items()),
    *(Kind("runs", f"trained/{name}", form, go_on_training) for name, form in TRAINED.items()),
    *(Kind("runs", f"trained/model/{name}", "json", evaluate_model) for name in ("config.json", "arch.json")),
    Kind("runs", "data.npz", "arrays", evaluate_model),
    Kind("runs", "data.npz", "arrays", go_on_searching),
)
