"""The settings of a run that is continued: what holds, what may change, and what its directory may name."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nas.runs.run import Run
from nas.terminal.configuration.cards import find_target
from nas.terminal.configuration.moved_targets import MOVED
from nas.terminal.entry import DictConfig, plain, run_config, say_kept
from tests.terminal.conftest import Outcome


def test_what_is_harmless_or_the_cure_may_change_on_resume(attempt: Callable[..., Outcome]) -> None:
    seen: list[tuple[int, int, float]] = []

    def body(cfg: DictConfig) -> None:
        with Run.open(cfg.run_dir, cfg.resume, "x", plain(cfg)) as run:
            run.log("search", len(seen), loss=1.0)
            seen.append((cfg.search.trials, cfg.executor.workers, cfg.recipe.lr))

    assert attempt(["run_dir=r", "search.trials=4", "executor.workers=2", "recipe.lr=0.5"], body) == (0, "")
    changes = ["search.trials=64", "executor.workers=3", "recipe.lr=0.1"]
    assert attempt(["resume=r", *changes], body) == (0, "")
    assert attempt(["resume=r"], body) == (0, "")  # they were kept
    assert seen == [(4, 2, 0.5), (64, 3, 0.1), (64, 3, 0.1)]


def test_candidates_keep_the_recipe_that_their_search_shortens(attempt: Callable[..., Outcome]) -> None:
    def body(cfg: DictConfig) -> None:
        with Run.open(cfg.run_dir, cfg.resume, "x", plain(cfg)) as run:
            run.log("search", 0, loss=1.0)

    assert attempt(["run_dir=r", "search.epochs=1", "recipe.epochs=2"], body) == (0, "")
    status, text = attempt(["resume=r", "recipe.epochs=3"], body)
    assert status == 2 and "keeps the recipe of its candidates, but recipe.epochs differs" in text
    assert "train.epochs=3" in text


def test_the_data_of_a_resumed_run_may_lie_elsewhere_now(attempt: Callable[..., Outcome]) -> None:
    roots: list[str] = []

    def body(cfg: DictConfig) -> None:
        with Run.open(cfg.run_dir, cfg.resume, "x", plain(cfg)):
            roots.append(cfg.data.root)

    assert attempt(["run_dir=r", "data=npz", "data.root=a.npz"], body) == (0, "")
    assert attempt(["resume=r", "data=npz", "data.root=b.npz"], body) == (0, "")
    assert attempt(["resume=r"], body) == (0, "") and roots == ["a.npz", "b.npz", "b.npz"]
    assert "data differs" in attempt(["resume=r", "data=npz", "data.root=b.npz", "data.num_classes=5"], body)[1]


def test_a_killed_run_is_continued_with_what_its_directory_does_not_do_unasked(attempt: Callable[..., Outcome]) -> None:
    def body(cfg: DictConfig) -> None:
        with Run.open(cfg.run_dir, cfg.resume, "x", plain(cfg)) as run:
            run.log("search", 0, loss=1.0)
            raise KeyboardInterrupt

    again = "python -m nas.search 'resume=\"r (1)\"' 'tables=my tables'"
    status, text = attempt(["run_dir='r (1)'", "tables=my tables", "seed=1"], body)
    assert status == 130 and text == f"\ninterrupted; continue with: {again}\n"
    assert "tables=my tables, which lies outside" in attempt(["resume='r (1)'"], body)[1]
    assert attempt(shlex.split(again)[3:], body)[1].startswith("\ninterrupted")


def test_a_failed_run_says_how_to_continue(attempt: Callable[..., Outcome]) -> None:
    def body(cfg: DictConfig) -> None:
        with Run.open(cfg.run_dir, cfg.resume, "x", plain(cfg)) as run:
            run.log("search", 0, loss=1.0)
            raise KeyboardInterrupt if cfg.seed else ValueError("loss is nan")

    status, text = attempt(["run_dir=first"], body)
    assert status == 2 and "loss is nan" in text and "resume=first" in text and text.count("\n") == 1
    status, text = attempt(["run_dir=second", "seed=1"], body)
    assert status == 130 and "python -m nas.search resume=second" in text


def test_resume_keeps_the_settings(attempt: Callable[..., Outcome]) -> None:
    seeds: list[int] = []

    def body(cfg: DictConfig) -> None:
        with Run.open(cfg.run_dir, cfg.resume, "x", plain(cfg)) as run:
            run.log("search", 0, loss=1.0)
            seeds.append(cfg.seed)

    assert attempt(["run_dir=r", "seed=7"], body) == (0, "")
    assert attempt(["resume=r"], body) == (0, "")
    assert attempt(["resume=r", "seed=7", "space=fbnet"], body) == (0, "")
    assert seeds == [7, 7, 7]
    status, text = attempt(["resume=r", "seed=8"], body)
    assert status == 2 and "seed differs (the run has 7, now 8)" in text and "what may change: search.trials" in text
    status, text = attempt(["resume=r", "recipe=fbnet"], body)
    assert status == 2 and "recipe differs: " in text
    status, text = attempt(["run_dir=r"], body)
    assert status == 2 and "already holds a run" in text and "resume=r" in text


def test_a_card_of_ones_own_that_was_edited_is_not_passed_over_in_silence(
    attempt: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """It is given again so that its code may run; the run's settings hold, and where they differ that is said."""

    def body(cfg: DictConfig) -> None:
        said.append(capsys.readouterr().out)
        with Run.open(cfg.run_dir, cfg.resume, "x", plain(cfg)) as run:
            run.log("search", 0, loss=1.0)

    said: list[str] = []
    (tmp_path / "own_stripes.py").write_text("def stripes(count=400, size=8):\n    return count\n")
    card = tmp_path / "cards" / "data" / "stripes.yaml"
    card.parent.mkdir(parents=True)
    card.write_text("_target_: own_stripes.stripes\ncount: 400\nsize: 8\n")
    monkeypatch.syspath_prepend(tmp_path)
    own = ["--config-dir", "cards", "data=stripes"]
    assert attempt([*own, "run_dir=r"], body) == (0, "")
    assert attempt([*own, "resume=r"], body) == (0, "")
    card.write_text("_target_: own_stripes.stripes\ncount: 500\nsize: null\n")
    assert attempt([*own, "resume=r"], body) == (0, "")
    kept = "the run goes by its own settings, not by the card data: count is 400, asked is 500"
    assert said[:2] == ["", ""] and said[2].startswith(kept)
    say_kept(OmegaConf.create({"data": {"count": 500}}), run_config("r", known=["own_stripes.stripes"]))
    assert capsys.readouterr().out.startswith(kept)


def test_a_run_directory_may_not_name_code(attempt: Callable[..., Outcome]) -> None:
    def body(cfg: DictConfig) -> None:
        with Run.open(cfg.run_dir, cfg.resume, "x", plain(cfg)) as run:
            run.log("search", 0, loss=1.0)

    attempt(["run_dir=r"], body)
    config = Path("r/config.yaml")
    original = config.read_text()
    config.write_text(original.replace("search_spaces.families.fbnet.fbnet", "os.system"))
    assert config.read_text() != original
    status, text = attempt(["resume=r"], body)
    assert status == 2 and "os.system" in text
    with pytest.raises(ValueError, match="which no card of this installation names"):
        run_config("r")
    config.write_text("- 1\n")
    assert attempt(["resume=r"], body)[0] == 2
    config.write_text("a: [1\n")
    status, text = attempt(["resume=r"], body)
    assert status == 2 and "damaged" in text and text.count("\n") == 1


def test_a_run_directory_may_use_the_names_of_an_earlier_release(attempt: Callable[..., Outcome]) -> None:
    found = []

    def body(cfg: DictConfig) -> None:
        with Run.open(cfg.run_dir, cfg.resume, "x", plain(cfg)) as run:
            run.log("search", 0, loss=1.0)
        found.append(cfg.space._target_)

    attempt(["run_dir=r"], body)
    for config in (Path("r/config.yaml"), Path("r/checkpoints/config.yaml")):
        config.write_text(config.read_text().replace("search_spaces.families.fbnet.fbnet", "search_spaces.fbnet.fbnet"))
    assert attempt(["resume=r"], body) == (0, "")
    assert found == ["search_spaces.families.fbnet.fbnet"] * 2
    for name, now in MOVED.items():
        if name.startswith("search_spaces."):
            assert find_target(name) is find_target(now)


def test_a_run_is_continued_by_the_command_that_began_it(attempt: Callable[..., Outcome]) -> None:
    def body(cfg: DictConfig) -> None:
        with Run.open(cfg.run_dir, cfg.resume, "x", plain(cfg)) as run:
            run.log("search", 0, loss=1.0)

    attempt(["run_dir=r"], body)
    file = Path("r/env.json")
    environment = json.loads(file.read_text())
    for command, status in (("search", 0), ("train", 2)):
        file.write_text(json.dumps(environment | {"command": f"python -m nas.{command} run_dir=r"}))
        assert attempt(["resume=r"], body)[0] == status
    assert "a run of nas.train; continue it with: python -m nas.train resume=r\n" in attempt(["resume=r"], body)[1]
