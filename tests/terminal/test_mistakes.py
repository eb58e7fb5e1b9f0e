"""Whatever the user gets wrong at the command line: one readable line, exit status 2, no traceback, nothing left."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from nas.runs.files import write_text
from nas.runs.keeping.stopping import Terminated
from nas.runs.run import Run
from nas.terminal.entry import DictConfig, check_types, entry, instantiate, plain, typed
from tests.terminal.conftest import Outcome


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("space=fbnet3", ["unknown space=fbnet3", "the options are", "fbnet", "did you mean"]),
        ("method=dna", ["unknown method=dna", "the options are", "dnas"]),
        ("data=mnist", ["unknown data=mnist", "the options are", "digits"]),
        ("device=pixel", ["unknown device=pixel", "the options are", "local"]),
        ("sede=1", ["no key 'sede'", "seed"]),
        ("--run-dir", ["no option --run-dir", "written key=value, here run_dir=...", "--multirun"]),
        ("--seed=1", ["no option --seed", "here seed=..."]),
        ("budget.latncy_ms=3", ["no key 'budget.latncy_ms'", "budget.latency_ms"]),
        ("method.epoch=3", ["no key 'method.epoch'", "method.epochs"]),
        ("zzz=1", ["no key 'zzz'", "the keys here are", "budget"]),
        ("+zzz=1", ["no key 'zzz'", "the keys here are"]),
        ("seed=abc", ["seed must be a whole number", "'abc'"]),
        ("seed=1.5", ["seed must be a whole number", "1.5"]),
        ("train.enabled=maybe", ["train.enabled must be true or false", "'maybe'"]),
        ("budget.fraction='0.5'", ["budget.fraction must be a number", "drop the quotes"]),
        ("hello", ["'hello' is not a setting", "key=value"]),
        ("data.root=a(b", ["cannot be read", "quote"]),
        ("seed=1,2", ["seed=1,2 gives several values", "seed=[1,2]", "--multirun"]),
        ("recipe.mixup=0.2", ["does not list recipe.mixup", "+recipe.mixup=0.2"]),
        ("--config-dir", ["the option --config-dir needs a value"]),
        ("seed=9223372036854775808", ["seed must be a whole number between -2^63 and 2^63"]),
        ("seed=4.5e0", ["seed must be a whole number"]),
        ("budget.fraction=inf", ["budget.fraction must be a number, got inf"]),
        ("search='${seed}'", ["search is a group of settings, got 0", "search.trials=..."]),
        ("resume=5", ["5 is not a run directory"]),
        ("resume=nowhere", ["nowhere is not a run directory"]),
    ],
)
def test_one_line_that_names_the_cure(attempt: Callable[..., Outcome], override: str, words: list[str]) -> None:
    status, text = attempt([override], lambda cfg: check_types(cfg, {"seed": int}))
    assert status == 2
    assert text.startswith("error: ") and text.count("\n") == 1
    assert "Traceback" not in text
    for word in words:
        assert word in text
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "key", "expected"),
    [
        (["seed=4e6"], "seed", 4_000_000),
        (["seed=4_000_000"], "seed", 4_000_000),
        (["budget.macs=4e6"], "budget.macs", 4_000_000),
        (["search.trials=1e1"], "search.trials", 10),
        (["tables=~/x"], "tables", str(Path.home() / "x")),
        (["tables='~/x y'"], "tables", str(Path.home() / "x y")),
        (["data=npz", "data.root=~"], "data.root", str(Path.home())),
        (["run_dir='a\\${b'"], "run_dir", "a${b"),
        (["teacher=~/t"], "teacher", str(Path.home() / "t")),
        (["search.supernet=~/runs/elastic"], "search.supernet", str(Path.home() / "runs/elastic")),
    ],
)
def test_values_mean_what_they_say(
    attempt: Callable[..., Outcome], settings: list[str], key: str, expected: object
) -> None:
    seen: list[object] = []

    def body(cfg: DictConfig) -> None:
        check_types(cfg, {"seed": int, "budget.macs": int | None})
        seen.append(OmegaConf.select(cfg, key))

    assert attempt(settings, body) == (0, "")
    assert seen == [expected] and type(seen[0]) is type(expected)


def test_options_may_stand_anywhere(attempt: Callable[..., Outcome]) -> None:
    seeds: list[int] = []
    assert attempt(["seed=1,2", "--multirun", "hydra.sweep.dir=m"], lambda cfg: seeds.append(cfg.seed)) == (0, "")
    assert seeds == [1, 2]


def test_deleted_key(attempt: Callable[..., Outcome]) -> None:
    status, text = attempt(["~seed"], lambda cfg: check_types(cfg, {"seed": int}))
    assert status == 2 and "seed" in text and text.count("\n") == 1


def test_values_reach_the_command(attempt: Callable[..., Outcome]) -> None:
    seen: list[object] = []
    status, text = attempt(["seed=3", "budget.latency_ms=2"], lambda cfg: seen.append(plain(cfg)))
    assert (status, text) == (0, "")
    assert isinstance(seen[0], dict) and seen[0]["seed"] == 3 and seen[0]["budget"]["latency_ms"] == 2


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ValueError("bad\n   value"), 2, "error: bad value\n"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.json"), 2, "x.json"),
        (OSError(errno.ENOSPC, "No space left on device", "w.pt"), 2, "error: the disk is full (writing w.pt)"),
        (
            OSError(errno.EROFS, "Read-only file system", "a/w.pt"),
            2,
            "error: a/w.pt cannot be used: read-only file system",
        ),
        (RuntimeError("file write failed: No space left on device"), 2, "the disk is full"),
        (MemoryError(), 2, "out of memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate"), 2, "out of memory"),
        (RuntimeError("Storage size calculation overflowed with sizes=[9, 9]"), 2, "out of memory"),
        (ValueError("Out of range float values are not JSON compliant: nan"), 2, "a lower learning rate"),
        (Terminated(), 143, "terminated"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (KeyError("a bug"), 1, "Traceback"),
    ],
)
def test_errors_of_the_command(attempt: Callable[..., Outcome], error: BaseException, status: int, words: str) -> None:
    def body(cfg: DictConfig) -> None:
        raise error

    found, text = attempt([], body)
    assert found == status and words in text
    assert ("Traceback" in text) == (status == 1)


def test_torchs_own_refusals_are_translated(attempt: Callable[..., Outcome]) -> None:
    def huge(cfg: DictConfig) -> None:
        torch.empty(1 << 45)

    def single(cfg: DictConfig) -> None:
        torch.nn.BatchNorm2d(3)(torch.zeros(1, 3, 1, 1))

    assert attempt([], huge)[1].startswith("error: out of memory: ")
    assert "one value per channel to learn from (a batch of [1, 3, 1, 1])" in attempt([], single)[1]


def test_sigterm_ends_a_run_like_ctrl_c(attempt: Callable[..., Outcome]) -> None:
    def body(cfg: DictConfig) -> None:
        with Run.open(cfg.run_dir, cfg.resume, "x", plain(cfg)) as run:
            run.log("search", 0, loss=1.0)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)

    before = signal.getsignal(signal.SIGTERM)
    assert attempt(["run_dir=r"], body) == (143, "\nterminated; continue with: python -m nas.search resume=r\n")
    assert signal.getsignal(signal.SIGTERM) == before
    assert attempt(["resume=r"], lambda cfg: None) == (0, "")


def test_a_card_of_aliases_of_aliases_is_refused_at_once(attempt: Callable[..., Outcome]) -> None:
    """Ten lines that stand for ten thousand million values."""
    Path("cards/space").mkdir(parents=True)
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    Path("cards/space/bomb.yaml").write_text("_target_: search_spaces.families.fbnet.fbnet\n" + "\n".join(lines))
    started = time.monotonic()
    status, text = attempt(["--config-dir", "cards", "space=bomb"])
    assert status == 2 and "cards/space/bomb.yaml cannot be read: " in text and "aliases unfold" in text
    assert time.monotonic() - started < 2
    Path("cards/space/bomb.yaml").write_text("_target_: [\n")
    status, text = attempt(["--config-dir", "cards", "space=bomb"])
    assert status == 2 and "bomb.yaml" in text and text.count("\n") == 1


def test_wrapped_full_disk(attempt: Callable[..., Outcome]) -> None:
    def body(cfg: DictConfig) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("the writer failed") from error

    status, text = attempt([], body)
    assert status == 2 and text == "error: the disk is full; free some space and try again\n"


def test_debug_shows_the_traceback(attempt: Callable[..., Outcome]) -> None:
    def body(cfg: DictConfig) -> None:
        raise ValueError("bad value")

    status, text = attempt(["debug=true"], body)
    assert status == 2 and "Traceback" in text and "bad value" in text


def test_sweep_gives_every_job_its_own_run_directory_and_names_their_folder(
    attempt: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths: list[Path] = []
    said: list[str] = []
    monkeypatch.setattr("nas.terminal.entry.log", said.append)

    def body(cfg: DictConfig) -> None:
        with Run.open(cfg.run_dir, cfg.resume, "x", plain(cfg)) as run:
            run.log("search", 0, loss=float(cfg.seed))
            paths.append(run.path)

    assert attempt(["--multirun", "hydra.sweep.dir=some runs", "seed=1,2"], body) == (0, "")
    assert len(set(paths)) == 2 and {path.parent for path in paths} == {paths[0].parent}
    assert said == ["all runs on one page: python -m nas.report 'run=some runs'"]


def test_a_mistake_in_a_sweep(attempt: Callable[..., Outcome]) -> None:
    def body(cfg: DictConfig) -> None:
        raise ValueError("bad value")

    assert attempt(["--multirun", "seed=1,2"], body) == (2, "error: bad value\n")


def test_a_file_that_cannot_be_written_is_named(attempt: Callable[..., Outcome]) -> None:
    """The file that was asked for, not the temporary one beside it, and no errno."""
    Path("taken").write_text("")
    status, text = attempt([], lambda cfg: write_text("taken/net.json", "x"))
    assert (status, text) == (2, "error: taken/net.json cannot be used: not a directory; give another path\n")


def test_instantiate_and_typed(attempt: Callable[..., Outcome]) -> None:
    def body(cfg: DictConfig) -> None:
        assert instantiate(cfg.recipe).epochs == cfg.recipe.epochs
        assert typed(cfg, "budget.fraction", float) == 0.5
        typed(cfg, "seed", int, minimum=5)

    status, text = attempt([], body)
    assert status == 2 and text == "error: seed must be at least 5, got 0\n"
    status, text = attempt(["recipe.epochs=abc"], body)
    assert status == 2 and "recipe.epochs must be a whole number, got 'abc'" in text
    status, text = attempt(["+recipe.epochz=1"], body)
    assert status == 2 and "no key recipe.epochz; did you mean recipe.epochs?" in text


def test_own_cards(attempt: Callable[..., Outcome], capsys: pytest.CaptureFixture[str]) -> None:
    Path("cards/data").mkdir(parents=True)
    Path("cards/data/shapes.yaml").write_text("_target_: pathlib.PurePath\nroot: ???  # where\n")
    for overrides in (["data=shapes"], ["data=shapes", "data.root=x"]):
        status, text = attempt(["--config-dir", "cards", *overrides], lambda cfg: plain(cfg))
        assert (status == 0) == (len(overrides) == 2)
        assert status == 0 or ("data.root has no value; give it: data.root=" in text and text.count("\n") == 1)
    assert attempt(["--config-dir", "cards", "data=shapes", "--help"]) == (0, "")
    with pytest.raises(SystemExit):
        entry("search")(lambda cfg: None)(["--config-dir", "cards", "data=shape"])
    assert "shapes" in capsys.readouterr().err


def test_as_a_process(tmp_path: Path) -> None:
    """The way a user meets it: stdout empty, one line on stderr, status 2, nothing written."""
    done = subprocess.run(
        [sys.executable, "-m", "nas.doctor", "tabels=x"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: there is no key 'tabels'; did you mean tables?\n"
    assert list(tmp_path.iterdir()) == []
