"""Data that are replaced on disk while a process that has read them still serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.methods.candidates.training_job import TrainingJob, train_candidate
from nas.train import training
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe

from .test_data_files import arrays


def test_candidates_train_on_the_files_as_they_are_now(
    arch: Arch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process may serve two searches, and the data be replaced in between."""
    seen = []
    monkeypatch.setattr(training, "train", lambda network, data, *_, **__: seen.append(data) or {})
    path = tmp_path / "mine.npz"
    card = {"_target_": "nas.data.arrays.npz", "root": str(path)}
    given: dict[str, Any] = {"arch": arch.to_dict(), "recipe": Recipe(epochs=1, batch_size=8, lr=0.1).to_dict()}
    given |= {"data": card, "fingerprint": "mine", "validation_fraction": 0.2, "seed": 0, "candidate": "c"}
    job = TrainingJob(**given, accelerator="cpu", precision="no")
    np.savez(path, **arrays((8, 8)))
    for _ in range(2):
        train_candidate(job)
    np.savez(path, **arrays((8, 8)))
    train_candidate(job)
    assert seen[0] is seen[1]
    assert seen[2].fingerprint != seen[0].fingerprint
