"""A search that is killed over and over, in each of its phases, and continued ends as one that nobody disturbed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.measuring.network_time import NetworkTime
from nas.latency.tables.table import LatencyTable
from nas.methods.candidates.executors.base import Done, Work
from nas.methods.candidates.executors.local import LocalExecutor
from nas.runs import checkpoint
from nas.runs.run import read_metrics
from nas.search.__main__ import main
from search_spaces.arch import Arch
from search_spaces.families.hand_made.plain import plain
from search_spaces.space import SearchSpace
from tests.latency.test_build import SMALL as LITTLE_EFFORT
from tests.runs.killed_runs import damage, same

SHORT = ["recipe.epochs=2", "recipe.warmup_epochs=0", "references.names=[]"]
SPACE = ["space.width=0.25", "space.head_channels=32", "space.resolution=8", *SHORT]
FBNET = ["space=fbnet", *SPACE, "space.candidates=[k3_e1,k3_e3,skip]"]
SUPERNET = ["method.epochs=2", "method.warmup_epochs=1"]
CANDIDATES = ["search.trials=4", "search.batch=2", "search.finalists=1", "search.epochs=1"]
FOREST = ["predictor=random_forest", "predictor.trees=5", "method.initial=2", "method.acquisition_evaluations=100"]
SEARCHES = {
    "dnas": [*FBNET, "method=dnas", *SUPERNET],
    "single_path": ["space=single_path", *SPACE, "method=single_path", *SUPERNET],
    "masking": ["space=rexnet", "space.resolution=16", *SHORT, *SUPERNET, "method=masking"],
    "random": [*FBNET, "method=random", *CANDIDATES],
    "elastic": [
        *(*FBNET, "method=random", *CANDIDATES[:3], "search.scorer=elastic", "search.statistics=200"),
        *("pretraining.recipe.epochs=2", "pretraining.recipe.warmup_epochs=0", "train.epochs=1"),
    ],
    "predictor": [*FBNET, "method=predictor", *CANDIDATES, "search.trials=5", *FOREST],
    "references": [
        *(*FBNET, "method=regularized_evolution", *CANDIDATES),
        *("references.names=[mine.json]", "references.train=true"),
    ],
    "contest": [*FBNET, "method=dnas", *SUPERNET, "derive.contest=2"],
}
MINE = plain("plain_conv4", 0.25, 8, 10, 1)
# (file, before or after it appears for the first time in a piece): a log line is written before its checkpoint
SUPERNET_KILLS = [
    *(("table.json", "after"), ("search.new.pt", "before"), ("search.pt", "after"), ("search.previous.pt", "before")),
    *(("search.pt", "before"), ("theta.json", "before"), ("derived.json", "before"), ("arch.json", "before")),
    *(("train.new.pt", "before"), ("train.pt", "after"), ("train.previous.pt", "after"), ("result.json", "before")),
    ("report.html", "before"),
]
CANDIDATE_KILLS = [
    *(("table.json", "after"), ("training 1", "before"), ("training 1", "after"), ("training 2", "after")),
    *(("trials.json", "before"), ("derived.json", "before"), ("train.pt", "after"), ("result.json", "before")),
    ("report.html", "before"),
]
SUPERNET_OF_CANDIDATES_KILLS = [
    *(("supernet.new.pt", "before"), ("supernet.pt", "after"), ("supernet.previous.pt", "before")),
    *(("supernet.pt", "before"), *CANDIDATE_KILLS[1:]),
]
REFERENCE_KILLS = [
    *(("references.json", "before"), ("references.json", "after"), (f"reference-{MINE.id}.new.pt", "before")),
    *((f"reference-{MINE.id}.pt", "after"), (f"reference-{MINE.id}.previous.pt", "before"), ("result.json", "before")),
]
CONTEST_KILLS = [
    *(*SUPERNET_KILLS[1:2], ("training 1", "before"), ("training 1", "after"), ("contest.json", "after")),
    *(("training 1", "after"), ("train.new.pt", "before"), ("result.json", "before"), ("report.html", "before")),
]
KILLS = {
    "contest": CONTEST_KILLS,
    "elastic": SUPERNET_OF_CANDIDATES_KILLS,
    "references": REFERENCE_KILLS,
    **dict.fromkeys(("random", "predictor"), CANDIDATE_KILLS),
}


class Killed(BaseException):
    """Passes everything that handles errors, as a signal does."""


class Executioner:
    """Ends this process, so to say, at one moment of each piece."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moment = ("never", "")
        replace = Path.replace

        def watched(path: Path, target: Path) -> Path:
            with self.at(Path(target).name):
                return replace(path, target)

        monkeypatch.setattr(Path, "replace", watched)

    @contextlib.contextmanager
    def at(self, name: str) -> Iterator[None]:
        if self.moment == (name, "before"):
            raise Killed
        yield
        if self.moment == (name, "after"):
            raise Killed


class Here:
    """An executor that trains in this process, where it can be killed."""

    capacity = 2

    def __init__(self, work: Work, executioner: Executioner) -> None:
        self.work, self.executioner = work, executioner
        self.waiting: list[tuple[int, Any]] = []
        self.trained = 0

    def submit(self, key: int, job: Any) -> None:
        self.waiting.append((key, job))

    def wait(self, timeout_seconds: float) -> list[Done]:
        key, job = self.waiting.pop()
        self.trained += 1
        with self.executioner.at(f"training {self.trained}"):
            return [Done(key, self.work(job))]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@pytest.fixture
def executioner(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Executioner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nas.latency.build.build_table", little)
    monkeypatch.setattr("nas.latency.measuring.networks.measure_networks", measured)
    found = Executioner(monkeypatch)

    @contextlib.contextmanager
    def here(self: LocalExecutor, work: Work) -> Iterator[Here]:
        yield Here(work, found)

    monkeypatch.setattr(LocalExecutor, "open", here)
    return found


def little(space: SearchSpace, device: Device, folder: str, **_: Any) -> LatencyTable:
    return build_table(space, device, folder, effort=LITTLE_EFFORT)


def measured(archs: list[Arch], device: object, calm: object, seed: int = 0, *care: object) -> list[NetworkTime]:
    return [NetworkTime(arch.macs / 1e9, arch.macs / 1e9, 0.0) for arch in archs]


def outcome(run: Path) -> dict[str, Any]:
    """All that a run found, but for the time it took."""

    def timeless(found: Any) -> Any:
        if isinstance(found, list):
            return [timeless(value) for value in found]
        if not isinstance(found, dict):
            return found
        kept = {key: value for key, value in found.items() if key != "time" and not key.endswith("_seconds")}
        return {key: timeless(value) for key, value in kept.items()}

    found: dict[str, Any] = {"metrics": [timeless(record) for record in read_metrics(run)]}
    for name in ("result", "derived", "arch", "recipe", "theta"):
        if (run / f"{name}.json").exists():
            found[name] = timeless(json.loads((run / f"{name}.json").read_text()))
    return found


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SEARCHES)
def test_killed_in_every_phase(name: str, tables: Path, executioner: Executioner) -> None:
    Path("mine.json").write_text(MINE.to_json())
    settings = [*SEARCHES[name], f"tables={tables}", "budget.tolerance=1000", "budget.rounds=1"]
    run(main, *settings, "run_dir=whole")
    expected = outcome(Path("whole"))
    piece = [*settings, "run_dir=part"]
    for moment in KILLS.get(name, SUPERNET_KILLS):
        executioner.moment = moment
        with pytest.raises(Killed):
            run(main, *piece)
        piece = ["resume=part"]
    executioner.moment = ("never", "")
    for damaged in Path("part/checkpoints").glob("*.pt"):  # one generation less: what was done last is done again
        if "." not in damaged.stem:
            damage(damaged)
    run(main, *piece)
    assert outcome(Path("part")) == expected
    whole, part = (checkpoint.load(Path(run_dir) / "checkpoints" / "train.pt") for run_dir in ("whole", "part"))
    assert same(whole, part)
    result = json.loads(Path("part/result.json").read_text())
    assert result["search_seconds"] > 0 and result["train_seconds"] > 0
    before = Path("part/metrics.jsonl").read_bytes()
    run(main, "resume=part")  # a finished run finds all of it done
    assert outcome(Path("part")) == expected and Path("part/metrics.jsonl").read_bytes() == before
    again = json.loads(Path("part/result.json").read_text())
    assert again["train_seconds"] == result["train_seconds"] and again["search_seconds"] >= result["search_seconds"]


def run(command: Any, *settings: str) -> None:
    """The command in this process; an exit status but 0 is a failure."""
    try:
        command(list(settings))
    except SystemExit as stop:
        assert not stop.code, stop.code
