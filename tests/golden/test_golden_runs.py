"""A tiny search of every method, by the command line function, ends as it ended when `golden.json` was written.

Each run searches digits with a fixed seed under a made-up latency table of the device `made_up`, so that nothing is
measured. Compared are the network, the genotype, every record of `metrics.jsonl` but its times, how far the search has
decided and how a network in training answers, and the digest of the trained weights. A change that is meant to change
results regenerates the file and says so in CHANGELOG.md:

    python -m tests.golden.test_golden_runs           # all of them, each run twice
    python -m tests.golden.test_golden_runs random    # some of them

Floating-point sums depend on the kind of processor and on library versions. `golden.json` therefore holds the digest of
a probe, a short training that uses nothing of ours: where it comes out the same here, a run must repeat to the last
bit. Where it does not, rounding errors grow in training and may turn close choices: then the same figures must be
recorded and, where the network is the same, the norm of its weights be within `NORM_TOLERANCE`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.latency.device import Device
from nas.latency.tables.table import LatencyTable, Row, entries, table_path
from nas.methods.candidates.executors.local import LocalExecutor
from nas.methods.candidates.problem import Problem
from nas.methods.candidates.training_job import TrainingJob, train_candidate
from nas.runs import checkpoint
from nas.runs.metrics import read_metrics
from nas.search.__main__ import main
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import compose
from nas.terminal.entry import plain
from search_spaces.arch import Arch
from search_spaces.space import SearchSpace
from tests.methods.candidates.pretended import Pretended

GOLDEN = Path(__file__).with_name("golden.json")
LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "optuna")
DECISION = ("mean_top_probability", "normalised_entropy")  # of what a search records: they follow from its result
LOOKED_AT = ("train_top1_percent",)  # of what a training records: nothing follows from it
NORM_TOLERANCE = 0.05  # relative; see the docstring above

SMALL = ["space.width=0.25", "space.head_channels=32", "space.resolution=8"]
SHORT = ["recipe.epochs=1", "recipe.warmup_epochs=0", "recipe.batch_size=128", "accelerator=cpu", "seed=3"]
SHORT += ["references.names=[]", "train.evaluate_every=0"]  # candidates would begin with them; nobody looks
FBNET = ["space=fbnet", *SMALL, "space.candidates=[k3_e1,k3_e3,skip]", *SHORT]
UNDECIDED = ["method.decided_at=null", "method.entropy_weight=0", "method.theta_passes=1"]  # all epochs, plain losses
SUPERNET = ["method.epochs=2", "method.warmup_epochs=1", "method.batch_size=128", *UNDECIDED]
ANNEALED = [*SUPERNET, "method.temperature_decay=0.5", "method.temperature_floor=0.1", "method.negligible=0"]
SINGLE_PATH = ["space=single_path", *SMALL, *SHORT, "method=single_path", *SUPERNET]
CANDIDATES = ["search.trials=6", "search.batch=2", "search.finalists=1", "search.epochs=1"]
SEARCHES = {
    "dnas_soft": [*FBNET, "method=dnas", *ANNEALED],
    "dnas_hard": [*FBNET, "method=dnas", *ANNEALED, "method.mode=hard"],
    "dnas_published": [
        *(*FBNET, "method=dnas", *ANNEALED, "method.loss=fbnet", "method.weight_optimizer=sgd"),
        *("derive.mode=sample", "budget.fraction=null"),
    ],
    "single_path": SINGLE_PATH,
    "single_path_paper": [
        *(*SINGLE_PATH, "method.mode=paper", "method.schedule=step", "method.weight_optimizer=rmsproptf"),
        *("method.latency_weight=2", "budget.fraction=null"),
    ],
    "masking": ["space=rexnet", "space.resolution=16", *SHORT, "method=masking", *ANNEALED],
    "random": [*FBNET, "method=random", *CANDIDATES],
    "tpe": [*FBNET, "method=tpe", *CANDIDATES, "method.startup_candidates=2"],
    "nsga2": [*FBNET, "method=nsga2", *CANDIDATES, "method.population_size=2"],
    "regularized_evolution": [
        *(*FBNET, "method=regularized_evolution", *CANDIDATES),
        *("method.population_size=3", "method.sample_size=2"),
    ],
    "predictor": [
        *(*FBNET, "method=predictor", *CANDIDATES, "search.trials=4", "search.batch=1"),
        *("method.initial=2", "method.pool_size=64", "method.acquisition_evaluations=100", "predictor.iterations=10"),
        "method.acquisition=upper_bound",
        *("method.evolution.evaluations=200", "method.evolution.population_size=16", "method.evolution.children=32"),
    ],
}
QUICK = ("dnas_soft", "single_path", "predictor")


class InThisProcess(Pretended):
    """Trains candidates here, where they need no new process."""

    def result(self, job: TrainingJob) -> dict[str, Any]:
        return train_candidate(job)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SEARCHES]
)
def test_a_search_ends_as_it_did(name: str, tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    expected, found = golden["runs"][name], outcome(name, tmp_path)
    if arithmetic() == golden["arithmetic"]:
        assert found == expected
        return
    assert places(found) == places(expected)
    if found["arch"] == expected["arch"]:
        assert found["tensors"] == expected["tensors"]
        assert math.isclose(found["norm"], expected["norm"], rel_tol=NORM_TOLERANCE)


def places(found: Mapping[str, Any]) -> list[tuple[str, int, list[str]]]:
    """Which figures are recorded where."""
    return [(record["phase"], record["step"], sorted(record)) for record in found["metrics"]]


def test_golden_runs_are_those_that_are_searched() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert sorted(golden["runs"]) == sorted(SEARCHES)
    assert set(QUICK) <= set(SEARCHES)


# -- a run and what it left


def outcome(name: str, folder: Path) -> dict[str, Any]:
    """What the search called `name` finds in the empty `folder`, as plain data, without the time it took."""
    settings = [*SEARCHES[name], "device.name=made_up", "tables=tables", "run_dir=run"]
    with contextlib.chdir(folder), in_this_process():
        config = plain(compose("search", settings))
        space = Problem.from_config(config, cards.build(config["recipe"], "recipe", {})).space
        made_up_table(space.architectures, Device("made_up"), Path("tables"))
        try:
            main(settings)
        except SystemExit as stop:
            assert not stop.code, stop.code
    run = folder / "run"
    derived = json.loads((run / "derived.json").read_text(encoding="utf-8"))["networks"][0]
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    weights = checkpoint.load_weights(run / "model" / "model.safetensors")
    return {
        "arch": Arch.load(run / "arch.json").id,
        "genotype": " ".join(map(str, derived["genotype"])),
        "estimated_ms": derived["estimated_ms"],
        "top1_percent": result["top1_percent"],
        "metrics": [timeless(record) for record in read_metrics(run)],
        "tensors": len(weights),
        "norm": round(norm(weights), 3),
        "weights": digest(weights),
    }


def made_up_table(space: SearchSpace, device: Device, folder: Path) -> None:
    """A latency table of `space` in milliseconds: 1 a network (FBNet's loss needs more) and 2^-17 a multiply-add."""
    priced = [(layer, shape, layer.cost(shape).macs / 2**17) for layer, shape in entries(space)]
    rows = tuple(Row(layer, shape, ms, 0.0, 10, ms) for layer, shape, ms in priced)
    LatencyTable(space.name, device, rows, 1.0, None).save(table_path(folder, space, device))


@contextlib.contextmanager
def in_this_process() -> Iterator[None]:
    """One thread, and candidates trained here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalExecutor, "open", lambda self, work: InThisProcess().open(work))
        yield
    torch.set_num_threads(threads)


def timeless(record: Mapping[str, Any]) -> dict[str, Any]:
    left_out = {"time", *DECISION, *LOOKED_AT}
    return {key: value for key, value in record.items() if key not in left_out and not key.endswith("_seconds")}


def digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of all tensors: their names, kinds, shapes and bytes."""
    sha = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.numpy().tobytes())
    return sha.hexdigest()


def norm(weights: Mapping[str, Tensor]) -> float:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in weights.values()))


# -- what exact figures depend on beside our code


def arithmetic() -> dict[str, str]:
    """Library versions, and the digest of a short training and of linear algebra as this processor computes them."""
    before, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU()),
        *(nn.Conv2d(24, 24, 3, padding=1, groups=24, bias=False), nn.BatchNorm2d(24), nn.Hardswish()),
        *(nn.Conv2d(24, 40, 1, bias=False), nn.BatchNorm2d(40), nn.SiLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 10)),
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    images, labels = torch.rand(4, 128, 1, 8, 8), torch.randint(10, (4, 128))
    for batch, classes in zip(images, labels, strict=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(batch), classes).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.set_num_threads(before)
    torch.set_rng_state(state)
    matrix = np.random.default_rng(0).normal(size=(64, 64))
    eigenvalues, vectors = np.linalg.eigh(matrix @ matrix.T)
    solved = np.linalg.solve(matrix, np.exp(eigenvalues / 64))
    found = hashlib.sha256(digest(network.state_dict()).encode())
    found.update(eigenvalues.tobytes() + vectors.tobytes() + solved.tobytes())
    return {"probe": found.hexdigest(), **{name: version(name) for name in LIBRARIES}}


def regenerate(names: list[str]) -> None:
    """Write `golden.json` anew, all of it or the runs of `names`. Raises `ValueError` where one does not repeat."""
    known = json.loads(GOLDEN.read_text(encoding="utf-8")) if names else {"runs": {}}
    if names and known["arithmetic"] != arithmetic():
        raise ValueError("golden.json was written with another arithmetic; regenerate all of it, without names")
    for name in names or SEARCHES:
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            found, again = outcome(name, Path(first)), outcome(name, Path(second))
        if found != again:
            raise ValueError(f"{name} does not repeat: {found} and {again}")
        known["runs"][name] = found
    GOLDEN.write_text(json.dumps({"arithmetic": arithmetic(), "runs": known["runs"]}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    regenerate(sys.argv[1:])
