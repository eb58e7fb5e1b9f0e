"""`contest.json`: every training of a contest, so that a continued run goes on from them, and its outcome."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from nas.runs.files import write_json
from nas.runs.stored import NonNegative, Percent, Positive, Schema, read_record, record
from nas.search.contest.standings import RIGHT_CLASS
from search_spaces.plain_data import identity
from search_spaces.plain_data.identity import Identity

NAME = "contest.json"
SCHEMA: Schema = {
    "id": str,
    "identity": dict,
    "late_figure": Literal["right_class_percent"] | None,
    "trained": dict,
    "outcome": dict | None,
    "digest": str,
}
TRAINED: Schema = {
    "top1_percent": Percent,
    "right_class_percent": Percent | None,
    "loss": float | None,
    "train_seconds": NonNegative,
    "data": str,
}
FAILED: Schema = {"error": str}
OUTCOME: Schema = {
    "networks": list[dict],
    "rungs": list[dict],
    "plan": dict,
    **dict.fromkeys(("winner", "score_is"), str),
}
NETWORK: Schema = {
    "name": str,
    "arch": str,
    "genotype": list[int] | None,
    "score": float | None,
    "epochs": Positive,
    "validation_top1_percent": Percent | None,
}


class ContestRecord:
    """The file of the run in `folder`: figures by network (its key) and epochs, and the outcome once there is one.

    What was trained under another `identity` (data, split, seed, precision, code) is not used, and that is said by
    `differing`. `late_figure`: what networks that are nearly trained are compared by; None, by accuracy, in contests
    that an earlier version began. Raises `ValueError` for a damaged file.
    """

    def __init__(self, folder: Path, asked: Identity) -> None:
        self.path, self.identity = folder / NAME, dict(asked)
        self.trained: dict[tuple[str, int], dict[str, Any]] = {}
        self.outcome: dict[str, Any] | None = None
        self.late_figure: str | None = RIGHT_CLASS
        self.differing: list[str] = []
        self.id = secrets.token_hex(6)  # no other contest has it
        if not self.path.exists():
            return
        stored = read(folder)
        self.differing = identity.differences(stored["identity"], self.identity)
        if not self.differing:
            self.outcome, self.id, self.late_figure = stored["outcome"], stored["id"], stored["late_figure"]
            for key, rungs in stored["trained"].items():
                self.trained |= {(key, int(epochs)): figures for epochs, figures in rungs.items()}

    def keep_id(self) -> None:
        """Store the id before anything is trained, so that a killed piece finds its checkpoints."""
        self._write()

    def keep(self, key: str, epochs: int, figures: Mapping[str, Any]) -> None:
        """Remember what the training of network `key` came to after `epochs` epochs."""
        self.trained[key, epochs] = dict(figures)
        self._write()

    def end(self, outcome: Mapping[str, Any]) -> None:
        """Remember what came of it."""
        self.outcome = dict(outcome)
        self._write()

    def _write(self) -> None:
        """Store everything, in an order that does not depend on which training ended first."""
        trained: dict[str, dict[str, Any]] = {}
        for key, epochs in sorted(self.trained):
            trained.setdefault(key, {})[str(epochs)] = self.trained[key, epochs]
        content = {"id": self.id, "identity": self.identity, "trained": trained, "outcome": self.outcome}
        if self.late_figure is not None:
            content["late_figure"] = self.late_figure
        write_json(self.path, {**content, "digest": identity.digest(content)})


def read(folder: Path) -> dict[str, Any]:
    """The content of the file in `folder`, its digest and fields checked. Raises `ValueError` naming the fault."""
    path = folder / NAME
    try:
        stored = read_record(path, "contest", SCHEMA)
        known = stored.pop("digest")
        content = {key: value for key, value in stored.items() if key != "late_figure" or value is not None}
        if known != identity.digest(content):
            raise ValueError("its content does not match its digest")
        for key, rungs in stored["trained"].items():
            for epochs, figures in record(rungs, {}, f"the trainings of {key}").items():
                what = f"the training of {key} up to epoch {epochs}"
                if not epochs.isdecimal():
                    raise ValueError(f"{epochs!r} is no number of epochs")
                record(figures, FAILED if "error" in record(figures, {}, what) else TRAINED, what)
        if stored["outcome"] is not None:
            stored["outcome"] = record(stored["outcome"], OUTCOME, "the outcome")
            for network in stored["outcome"]["networks"]:
                record(network, NETWORK, "a network")
    except ValueError as error:
        raise ValueError(f"{path} does not hold a contest: {error}; remove it to hold it again") from None
    return stored


def outcome_of(folder: Path) -> dict[str, Any] | None:
    """What came of the contest in `folder`; None where there was none. Raises `ValueError` for a damaged file."""
    return read(folder)["outcome"] if (folder / NAME).exists() else None
