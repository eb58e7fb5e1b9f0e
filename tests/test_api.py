"""The Python interface: the functions of `nas`, with cards by name and objects of the program's own, and their page."""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobRuntime

import nas
from nas.data.images import ImageData, in_memory
from nas.latency.device import Device
from nas.methods.base import CandidateMethod
from nas.methods.candidates.executors.local import LocalExecutor
from nas.methods.candidates.training_job import TrainingJob, train_candidate
from nas.methods.proposal import Proposal
from nas.search.__main__ import main as search
from nas.terminal.python_settings import resolved
from search_spaces.families.fbnet import fbnet
from search_spaces.pricing.budgets import Feasible
from search_spaces.space import LayerwiseSpace, Population
from tests.methods.candidates.pretended import Pretended
from tests.test_docs import ROOT, blocks

pytestmark = pytest.mark.usefixtures("light_studies")

SMALL: dict[str, Any] = {"width": 0.25, "head_channels": 32, "candidates": ["k3_e1", "k3_e3", "skip"]}
SHORT: Any = {"search": {"trials": 2, "batch": 2}, "recipe": {"epochs": 1, "warmup_epochs": 0, "batch_size": 32}}
ASKED: Any = {"accelerator": "cpu", "macs": 10**6, "references": {"names": []}, **SHORT}


def tiny(resolution: int = 8, num_classes: int = 10, in_channels: int = 1) -> LayerwiseSpace:
    return fbnet(resolution, num_classes, in_channels, width=0.25, head_channels=32, candidates=("k3_e1", "skip"))


def noise(resolution: int | None = None, count: int = 40) -> ImageData:
    images = torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(count) % 2
    half = count // 2
    return in_memory(
        "noise", (images[:half], labels[:half]), (images[half:], labels[half:]), ("a", "b"), resolution or 8
    )


class SmallFirst(CandidateMethod):
    def start(self, feasible: Feasible, seed: int) -> Proposal:
        return _Draws(feasible, seed)


class _Draws(Proposal):
    def _propose(self, count: int, rng: np.random.Generator) -> Population:
        drawn = self.feasible.sample(8 * count, rng)
        return drawn[np.argsort(self.space.count("macs")(drawn))]


class Here(Pretended):
    """Trains in this process."""

    def result(self, job: TrainingJob) -> dict[str, Any]:
        return train_candidate(job)


@pytest.fixture(autouse=True)
def here(few_digits: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LocalExecutor, "open", lambda self, work: Here().open(work))


def test_the_function_finds_what_the_command_finds() -> None:
    words = ["space.width=0.25", "space.head_channels=32", "space.candidates=[k3_e1,k3_e3,skip]", "data.resolution=8"]
    words += ["method=random", "budget.macs=1000000", "search.trials=2", "search.batch=2", "recipe.epochs=1"]
    words += [
        "recipe.warmup_epochs=0",
        "recipe.batch_size=32",
        "accelerator=cpu",
        "references.names=[]",
        "run_dir=shell",
    ]
    with contextlib.suppress(SystemExit):
        search(words)
    data = {"card": "digits", "resolution": 8}
    outcome = nas.run_search(space=SMALL, data=data, method="random", run_dir="python", **ASKED)
    stored = json.loads(Path("shell/result.json").read_text())
    timeless = {key for key in stored if not key.endswith("_seconds")}
    assert {key: outcome.result[key] for key in timeless} == {key: stored[key] for key in timeless}
    assert json.loads(Path("python/result.json").read_text()) == outcome.result
    assert (
        Path("python/config.yaml").read_text().replace("run_dir: python", "run_dir: shell")
        == Path("shell/config.yaml").read_text()
    )
    assert outcome.network is not None and outcome.run_dir == Path("python") and not outcome.missed
    assert outcome.arch.id == stored["arch"]
    assert f"<td>{stored['params']:,}</td>" in outcome._repr_html_()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["definitions", "objects"])
def test_space_data_and_method_of_ones_own(form: str) -> None:
    given: Any = {"space": tiny, "data": noise, "method": SmallFirst}
    if form == "objects":
        given = {"space": tiny(8, 2), "data": noise(), "method": SmallFirst()}
    outcome = nas.run_search(**given, run_dir="r", **ASKED)
    assert outcome.result["method"] == "test_api" and outcome.result["data"] == "noise"
    assert outcome.arch.num_classes == 2
    from_outcome = nas.derive_from(outcome, count=2, out="d1")
    from_folder = nas.derive_from("r", count=2, out="d2", **given)
    assert from_outcome.archs == from_folder.archs and from_outcome.archs[0] == outcome.arch
    with pytest.raises(ValueError, match="which no card of this installation names"):
        nas.derive_from("r")  # a run directory runs no code of its own
    again = nas.run_search(resume="r", search={"trials": 3}, **given)
    assert again.result["trials"] == 3
    trained = nas.train_arch(outcome.arch, data=given["data"], recipe=SHORT["recipe"], accelerator="cpu", run_dir="t")
    assert trained.arch == outcome.arch and trained.result["data"] == "noise"
    assert json.loads(Path("t/result.json").read_text()) == trained.result


@pytest.mark.slow
def test_an_interrupted_search_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given: Any = {"space": SMALL, "data": {"card": "digits", "resolution": 8}, "method": "random", **ASKED}
    whole = nas.run_search(run_dir="whole", **given)
    with monkeypatch.context() as patch:
        patch.setattr(LocalExecutor, "open", lambda self, work: Here(die_after=1).open(work))
        with pytest.raises(KeyboardInterrupt):
            nas.run_search(run_dir="r", **given)
    resumed = nas.run_search(resume="r")
    assert resumed.arch == whole.arch and resumed.result["top1_percent"] == whole.result["top1_percent"]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"space": "fbnett"}, r"unknown space=fbnett; .*did you mean fbnet\?"),
        ({"sed": 1}, "there is no key 'sed'; did you mean seed"),
        ({"seed": "x"}, "seed must be"),
        ({"method": {"card": "random", "epochs": 3}}, "there is no key method.epochs"),
        ({"space": 3.5}, "space must be a search space"),
        ({"space": tiny(8, 2), "data": "digits"}, "space fbnet has num_classes=2, but digits has 10"),
        ({"method": lambda: None}, "defined inside a function"),
        ({"macs": -1, "method": "random"}, "budget.macs must be >= 1, got -1"),
        ({"macs": -1, "method": "random", "budget": None}, "budget.macs must be >= 1, got -1"),
        ({"macs": 3, "budget": {"macs": 4}}, "macs=3 contradicts budget={'macs': 4}; leave out one of them"),
        ({"macs": 3, "budget": 4}, "budget must be a mapping of settings, got 4"),
    ],
)
def test_bad_input_is_one_line(keywords: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        nas.run_search(run_dir="r", **keywords)
    assert "\n" not in str(refused.value) and not Path("r").exists()


@pytest.mark.parametrize("function", ["evaluate_model", "export_model", "train_arch", "derive_from", "create_model"])
def test_what_is_no_arch_and_no_run_is_named_by_its_kind(function: str) -> None:
    with pytest.raises(ValueError, match="got Linear$") as refused:
        getattr(nas, function)(torch.nn.Linear(2, 2))
    assert "\n" not in str(refused.value)


def test_a_table_is_built_as_the_command_builds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def build(space: LayerwiseSpace, device: Device, folder: str, **settings: Any) -> str:
        asked.update(settings, space=space, device=device, folder=folder)
        return "table"

    monkeypatch.setattr("nas.latency.build.build_table", build)
    assert nas.build_table(space=tiny, device={"threads": 2}, effort={"rounds": 3}, tables="t") == "table"
    assert asked["space"].name == "fbnet" and asked["device"] == Device(threads=2) and asked["folder"] == "t"
    assert asked["effort"].rounds == 3 and asked["effort"].network_rounds == 15 and not asked["refresh"]
    assert nas.build_table(space=tiny(), device=Device("other")) == "table" and asked["device"].name == "other"


def test_settings_are_resolved_in_threads_and_inside_a_program_of_hydras(tmp_path: Path) -> None:
    def resolve(trials: int) -> int:
        return int(resolved("search", {"search": {"trials": trials}}, {})["search"]["trials"])

    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(tmp_path)):
        theirs = GlobalHydra.instance().hydra
        JobRuntime.instance().set("name", "their job")
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(resolve, range(1, 5))) == [1, 2, 3, 4]
        assert GlobalHydra.instance().hydra is theirs is not None
        assert JobRuntime.instance().get("name") == "their job"
    assert not GlobalHydra.instance().is_initialized()


def test_a_package_of_the_users_that_is_called_conf_hides_no_cards(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "__init__.py").touch()
    asked, around = [sys.executable, "-m", "nas.status", "run=nothing"], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(asked, capture_output=True, text=True, env=around, cwd=tmp_path)
    assert "nothing holds no run" in done.stderr


def test_importing_nas_imports_no_torch() -> None:
    code = "import sys, nas; assert 'run_search' in nas.__all__ and not {'torch', 'hydra'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/python.md: its blocks one after the other, and its script."""
    *steps, script = blocks("docs/python.md", "python")
    exec(compile("\n".join(steps), "docs/python.md", "exec"), {})
    assert Path("net.onnx").exists()
    (tmp_path / "mine.py").write_text(script)
    monkeypatch.syspath_prepend(tmp_path)
    runpy.run_module("mine", run_name="__main__", alter_sys=True)
    assert "smallfirst" in capsys.readouterr().out.split()


@pytest.mark.slow  # tests/extending: other code of one's own in processes of their own
def test_the_script_of_the_page_runs_in_processes_of_its_own(tmp_path: Path) -> None:
    *_, script = blocks("docs/python.md", "python")
    (tmp_path / "mine.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "mine.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "smallfirst" in done.stdout.split()
