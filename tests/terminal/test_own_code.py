"""Code of the user's own: it works as ours does where the command line gives it, and runs from no run directory."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from nas.terminal.configuration.cards import build
from nas.terminal.configuration.composition import compose
from nas.terminal.configuration.plain_yaml import read_yaml, write_yaml
from nas.terminal.entry import plain
from search_spaces.plain_data.own_code import _statements

MINE = '''
import contextlib
from typing import Any

import torch

from nas.data.images import ImageData, in_memory
from nas.methods.candidates.executors.base import Done
from nas.methods.random import RandomSearch
from predictors.baselines import Ridge
from search_spaces.families.fbnet import fbnet

RAN = []


def tiny(resolution=None, num_classes=10, in_channels=1):
    RAN.append("space")
    return fbnet(8, num_classes, in_channels, width=0.25, head_channels=32, candidates=("k3_e1", "k3_e3", "skip"))


def shapes(root: str, resolution: int = 8) -> ImageData:
    images = torch.randint(0, 256, (40, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(40) % 2
    return in_memory("shapes", (images[:30], labels[:30]), (images[30:], labels[30:]), ("a", "b"), resolution)


class Draw(RandomSearch):
    def __init__(self, predictor: Any = None) -> None:
        self.predictor = predictor


class Line(Ridge):
    pass


class Here:
    """An executor in this process."""

    @contextlib.contextmanager
    def open(self, work):
        self.work, self.done = work, []
        yield self

    capacity = 1

    def submit(self, key, job):
        self.done.append(Done(key, self.work(job)))

    def wait(self, timeout_seconds):
        done, self.done = self.done, []
        return done
'''
CARDS = {
    "space/tiny": "_target_: mine.tiny\nmethod: draw\nresolution: null\nnum_classes: null\nin_channels: null\n",
    "method/draw": "_target_: mine.Draw\npredictor: ${predictor}\n",
    "data/shapes": "_target_: mine.shapes\nroot: ???\nresolution: 8\n",
    "predictor/line": "_target_: mine.Line\n",
    "executor/here": "_target_: mine.Here\n",
}
GIVEN = ["--config-dir", "my cards", "space=tiny", "data=shapes", "predictor=line", "executor=here"]
SMALL = ["search.trials=2", "search.epochs=1", "recipe.epochs=1", "recipe.warmup_epochs=0", "budget.macs=1000000"]


OTHER_CODE = "NOTE: another, run was searched with other code of your own (method: mine; now mine): "
OTHER_DIGESTS = re.compile(r"(?<=mine) [0-9a-f]{8}")


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("mine.py").write_text(MINE)
    for name, text in CARDS.items():
        path = Path("my cards", f"{name}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    yield importlib.import_module("mine")
    del sys.modules["mine"]


def call(words: list[str]) -> int:
    """The exit status of `nas.<words[0]> ...`."""
    try:
        command = importlib.import_module(f"nas.{words[0]}")
        main = getattr(command, "main", None) or importlib.import_module(f"nas.{words[0]}.__main__").main
        main(words[1:])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_search_resume_derive_and_report(mine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["search", *GIVEN, "data.root=x", *SMALL, "run_dir='a run (1)'"]) == 0
    following = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("next: "))
    Path("a run (1)").rename("another, run")  # a renamed directory keeps working
    words = shlex.split(following.removeprefix("next: ").replace("a run (1)", "another, run"))
    Path("mine.py").write_text(f"{MINE}\nEDITED = True\n")  # the method's and the predictor's module
    _statements.cache_clear()
    assert call([words[2].removeprefix("nas."), *words[3:]]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert f"{OTHER_CODE}networks are chosen by the present" in OTHER_DIGESTS.sub("", " ".join(out.split()))
    following = next(line for line in out.splitlines() if line.startswith("next: "))
    words = shlex.split(following.removeprefix("next: "))
    assert words[2] == "nas.train" and call(["train", *words[3:], "run_dir=t"]) == 0, capsys.readouterr().err
    assert call(["report", "run='another, run'"]) == 0
    mine.RAN.clear()
    capsys.readouterr()
    assert call(["search", "resume='another, run'", "search.trials=3"]) == 2
    said = capsys.readouterr().err
    assert "mine.tiny" in said and "--config-dir FOLDER space=CARD method=CARD" in said and not mine.RAN
    assert call(["derive", "run='another, run'"]) == 2 and not mine.RAN
    capsys.readouterr()
    assert call(["search", "resume='another, run'", "search.trials=3", *GIVEN]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert f"{OTHER_CODE}it goes on by the present one" in OTHER_DIGESTS.sub("", " ".join(out.split()))
    assert json.loads(Path("another, run", "result.json").read_text())["trials"] == 3  # harmless, so it may change
    assert read_yaml(Path("another, run", "config.yaml").read_text())["search"]["trials"] == 3


def test_a_study_that_others_search_with_other_code_says_so(mine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shared = ["search.storage=sqlite:///shared.db", "search.study=ours", "train.enabled=false"]
    begin = ["search", *GIVEN, "data.root=x", *SMALL, *shared]
    for run in ("a", "b"):
        assert call([*begin, f"run_dir={run}"]) == 0, capsys.readouterr().err
    assert "other code" not in capsys.readouterr().out
    Path("mine.py").write_text(f"{MINE}\nEDITED = True\n")
    _statements.cache_clear()
    assert call([*begin, "run_dir=c"]) == 0, capsys.readouterr().err
    out = OTHER_DIGESTS.sub("", " ".join(capsys.readouterr().out.split()))
    note = "NOTE: study 'ours' is searched with other code of your own, too (method: mine; now mine): what it holds is"
    assert out.count(note) == 1 and out.count("other code") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search", "+budget._target_=os.system"], "budget._target_ names code"),
        (["search", "+search._target_=os.system"], "search._target_ names code"),
        (["search", "+recipe.betas._target_=os.system"], "recipe.betas._target_ names code"),
        (["search", "recipe._target_=os.system"], "there is no key recipe.epochs"),
        (["search", "space._target_=nas.data.digits.digits"], "space._target_=nas.data.digits.digits makes no"),
        (["search", "method._target_=search_spaces.recipe.Recipe"], "makes no method"),
        (
            ["search", "data._target_=search_spaces.families.fbnet.fbnet"],
            "data._target_=search_spaces.families.fbnet.fbnet makes no data",
        ),
        (["search", "device._target_=builtins.dict"], "device._target_=builtins.dict makes no device"),
        (["inspect", "space._target_=builtins.dict"], "space._target_=builtins.dict makes no search space"),
    ],
)
def test_code_stands_only_where_its_kind_is_made(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(words) == 2
    text = capsys.readouterr().err
    assert said in text and text.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_an_unannotated_function_made_is_looked_at(mine: Any) -> None:
    with pytest.raises(ValueError, match="mine.tiny must make a data set .*, but it made LayerwiseSpace"):
        build({"_target_": "mine.tiny"}, "data", {})


@pytest.fixture
def nested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present folder, in another empty one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tables": "../elsewhere"}, "tables=../elsewhere, which lies outside"),
        ({"search": {"storage": "sqlite:///../stolen.db"}}, "search.storage=sqlite:///../stolen.db, which lies"),
        (
            {"executor": {"_target_": "nas.methods.candidates.executors.ray.RayExecutor", "address": "far:1"}},
            "executor.address=far:1",
        ),
        (
            {
                "device": {
                    "_target_": "nas.latency.devices.ssh.SshDevice",
                    "host": "pi@far",
                    "name": None,
                    "python": "python3",
                }
            },
            "device.host=pi@far, which lies outside of it; a run directory reaches nothing outside unless asked: give "
            "the setting again, resume=r device=ssh 'device.host=\"pi@far\"'",
        ),
        ({"space": {"_target_": "nas.data.digits.digits"}}, "makes no search space"),
        ({"budget": {"_target_": "search_spaces.families.fbnet.fbnet"}}, "budget._target_ names code"),
        ({"space": 3}, "space is 3, not a card"),
        ({"arch": "${oc.env:HOME}/x.json"}, "${oc.env:HOME}/x.json"),
    ],
)
def test_a_run_directory_is_data(
    change: dict[str, Any],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It runs nothing, resolves nothing, and reaches nothing outside of itself that was not asked for."""

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("r").mkdir()
    config = plain(compose("search", []))
    for key, value in change.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    Path("r/config.yaml").write_text(write_yaml(config))
    assert call(["search", "resume=r"]) == 2
    text = capsys.readouterr().err
    assert said in text and text.count("\n") == 1, text
    assert {path.name for path in tmp_path.rglob("*")} <= {
        "here",
        "r",
        "config.yaml",
        "env.json",
        ".lock",
        "checkpoints",
    }
