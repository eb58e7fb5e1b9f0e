"""Two processes do what one does, with the same batches: the same figures but for rounding, and twice the same bits."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.runs.keeping.keeper import step_file
from nas.train.accelerator import make_accelerator
from tests.latency.devices.board import free_port
from tests.processes import FORKED
from tests.train.several.pieces import PIECES, continued
from tests.train.several.pieces import main as pieces

TOLERANCE = 2e-3  # relative, of losses and norms: rounding of sums in another order, over tens of steps
SEARCHES = ["masking", "single_path", "single_path_paper", "elastic"]


def one_of_two(rank: int, port: int, folder: Path, names: tuple[str, ...]) -> None:
    """What a launcher tells a process, and the pieces."""
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    os.environ.update({name: str(value) for name, value in {**told, "RANK": rank, "LOCAL_RANK": rank}.items()})
    torch.set_num_threads(1)
    pieces(folder, [name for name in names if name != "own"], "own" not in names)


def launched(folder: Path, *names: str) -> list[dict[str, Any]]:
    """What both of two processes found of each piece, by name; they agree. `torchrun` itself: test_launched.py."""
    port = free_port()
    both = [FORKED.Process(target=one_of_two, args=(rank, port, folder, names)) for rank in (0, 1)]
    try:
        for process in both:
            process.start()
        for process in both:
            process.join(300)
        assert [process.exitcode for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
    found = []
    for name in names:
        if name != "own":
            first, second = (json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in (0, 1))
            assert first == second, name
            found.append(first)
    return found


def by_one(folder: Path, name: str) -> dict[str, Any]:
    return json.loads(json.dumps(PIECES[name](make_accelerator("cpu"), folder / "one" / name)))


def check_alike(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert len(found["records"]) == len(expected["records"])
    for mine, theirs in zip(found["records"], expected["records"], strict=True):
        smooth = {key: value for key, value in theirs.items() if "percent" not in key}
        assert {key: mine[key] for key in smooth} == pytest.approx(smooth, rel=TOLERANCE, abs=1e-5)
    check_norms(found["norms"], expected["norms"])


def check_norms(found: dict[str, float], expected: dict[str, float]) -> None:
    """All together: a bias that began at zero a few steps ago is mostly rounding under Adam."""
    assert found.keys() == expected.keys()
    assert math.dist(found.values(), expected.values()) <= TOLERANCE * math.hypot(*expected.values())


def test_two_processes_train_search_and_evaluate_as_one(tmp_path: Path, capsys) -> None:
    names = ["evaluation", "training_run", "begun", "dnas"]
    found = dict(zip(names, launched(tmp_path, *names), strict=True))
    evaluated = by_one(tmp_path, "evaluation")
    by_class = evaluated.pop("by class")
    assert found["evaluation"]["by class"]["calibration_error_percent"] == pytest.approx(
        by_class.pop("calibration_error_percent"), rel=1e-5
    )
    assert found["evaluation"]["by class"].items() >= by_class.items() and sum(map(sum, by_class["confusion"])) == 45
    for split, figures in evaluated.items():
        assert found["evaluation"][split] == pytest.approx(figures, rel=1e-6)
    whole = by_one(tmp_path, "training_run")
    check_alike(found["training_run"], whole)
    check_alike(found["dnas"], by_one(tmp_path, "dnas"))
    capsys.readouterr()
    checkpoint = tmp_path / "begun" / "train.pt"
    assert found["begun"]["steps"] == 10 and step_file(checkpoint).exists()
    left = continued(make_accelerator("cpu"), checkpoint)
    assert "the checkpoint is of 2 processes, training goes on by 1" in capsys.readouterr().out
    check_norms(left["norms"], whole["norms"])
    check_alike({**left, "records": left["records"][1:]}, {**whole, "records": whole["records"][2:]})


@pytest.mark.slow
def test_other_searches_are_those_of_one_process_too(tmp_path: Path) -> None:
    *found, alone = launched(tmp_path, *SEARCHES, "alone")
    for name, figures in zip(SEARCHES, found, strict=True):
        check_alike(figures, by_one(tmp_path, name))
    assert alone["digest"] == by_one(tmp_path, "alone")["digest"]  # nothing is shared, and nobody waits


@pytest.mark.slow
def test_statistics_of_parts_and_of_pieces(tmp_path: Path) -> None:
    """Without shared statistics the steps are those of one process that takes the parts as pieces; twice the same."""
    names = ("own", "training_run", "accumulating", "dnas", "elastic")
    first, second = (launched(tmp_path / time, *names) for time in ("a", "b") if not (tmp_path / time).mkdir())
    assert [one["digest"] for one in first] == [one["digest"] for one in second]
    expected, found = by_one(tmp_path, "accumulating"), first[1]
    losses = [[record["train_loss"] for record in figures["records"]] for figures in (found, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=TOLERANCE)
    weights = {name for name in expected["norms"] if "running" not in name}
    mine, theirs = ({name: figures["norms"][name] for name in weights} for figures in (found, expected))
    check_norms(mine, theirs)
    whole = by_one(tmp_path, "training_run")["records"]
    assert losses[1] != pytest.approx([record["train_loss"] for record in whole], rel=TOLERANCE)
