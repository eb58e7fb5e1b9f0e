"""Every kind of file that is read back, whole, and how it is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.data.arrays import npz
from nas.latency.kits.of_space import import_kit
from nas.latency.measuring.journal import seal
from nas.report.sections.answers import answers
from search_spaces.families.fbnet import fbnet
from search_spaces.plain_data.identity import digest
from tests.fuzz.readers import (
    continue_run,
    derive_again,
    importer,
    inspect_card,
    read_arch,
    read_checkpoint,
    read_contest,
    read_derived,
    read_foreign,
    read_front,
    read_images,
    read_journal,
    read_levers,
    read_model,
    read_notes,
    read_page,
    read_safetensors,
    read_settings,
    read_study,
    read_table,
)
from tests.fuzz.spaces import SPACE
from tests.fuzz.written import write_all
from tests.latency.test_imports import CIFAR, PAPER

__all__ = ["KINDS", "Kind", "write_all"]


@dataclasses.dataclass(frozen=True)
class Kind:
    """A file inside one of the folders that `write_all` makes. `form`: how its content is damaged beside its bytes;
    `read` gets a copy of the folder; `sealed` gives changed content the digest it would have been written with."""

    folder: str
    file: str
    form: str
    read: Callable[[Path], object]
    sealed: Callable[[Any], Any] = lambda content: content

    def __str__(self) -> str:
        return f"{self.folder}/{self.file}"


def _seal(name: str) -> Callable[[Any], Any]:
    return lambda data: {**data, name: seal(data, name)} if isinstance(data, dict) and name in data else data


def _digest_of_derived(data: Any) -> Any:
    if not isinstance(data, dict) or "digest" not in data:
        return data
    return {**data, "digest": digest({key: value for key, value in data.items() if key != "digest"})}


def _digests_of_trials(data: Any) -> Any:
    if not isinstance(data, list):
        return data
    return [_digest_of_derived(record) for record in data]


RUN = "runs/run"
KINDS = (
    Kind("archs", "arch.json", "json", read_arch),
    Kind(RUN, "table.json", "json", read_table, _seal("digest")),
    Kind("imports", "csv.csv", "table", importer("csv", PAPER)),
    Kind("imports", "text.txt", "table", importer("text", PAPER, unit="ms")),
    Kind("imports", "layers.csv", "table", importer("layers", SPACE)),
    Kind("imports", "hwnasbench.json", "json", importer("hwnasbench", CIFAR, source="pixel3")),
    Kind("imports", "single_path.json", "json", importer("single_path", PAPER)),
    Kind("imports", "proxylessnas.yaml", "yaml", importer("proxylessnas", PAPER)),
    Kind("imports", "ofa.yaml", "yaml", importer("ofa", PAPER)),
    Kind("imports", "help.npz", "arrays", importer("help", fbnet(224), source="gpu")),
    Kind("kit", "kit.json", "json", lambda folder: import_kit(folder), _seal("id")),
    Kind("kit", "results.json", "json", lambda folder: import_kit(folder), _seal("digest")),
    Kind("kit", "journal.jsonl", "lines", read_journal, _seal("seal")),
    Kind("model", "config.json", "json", read_model),
    Kind("model", "arch.json", "json", read_model),
    Kind("model", "model.safetensors", "bytes", read_model),
    Kind(RUN, "result.json", "json", read_page),
    Kind(RUN, "result.json", "json", read_front),
    Kind(RUN, "metrics.jsonl", "lines", read_page),
    Kind(RUN, "metrics.jsonl", "lines", continue_run),
    Kind(RUN, "env.json", "json", read_page),
    Kind(RUN, "env.json", "json", continue_run),
    Kind(RUN, "theta.json", "json", read_page),
    Kind(RUN, "theta.json", "json", derive_again),
    Kind(RUN, "table.json", "json", read_page, _seal("digest")),
    Kind(RUN, "trials.json", "json", read_page),
    Kind(RUN, "later/derived.json", "json", read_front),
    Kind(RUN, "derived.json", "json", read_derived, _digest_of_derived),
    Kind(RUN, "contest.json", "json", read_contest, _digest_of_derived),
    Kind(RUN, "levers.json", "json", read_levers),
    Kind(RUN, "answers.json", "json", answers),
    Kind(RUN, "config.yaml", "yaml", read_settings),
    Kind(RUN, "config.yaml", "yaml", derive_again),
    Kind(RUN, "checkpoints/config.yaml", "yaml", continue_run),
    Kind(RUN, "checkpoints/search.json", "json", read_notes),
    Kind(RUN, "checkpoints/id.json", "json", read_notes),
    Kind("random", "trials.json", "json", derive_again, _digests_of_trials),
    Kind("random", "config.yaml", "yaml", derive_again),
    Kind("study", "trials.db", "database", read_study),
    Kind("weights", "search.pt", "state", read_checkpoint),
    Kind("weights", "foreign.pt", "state", read_foreign),
    Kind("weights", "weights.safetensors", "bytes", read_safetensors),
    Kind("cards", "space/mine.yaml", "yaml", inspect_card),
    *(Kind("images", f"train/cat/{name}", "bytes", read_images) for name in ("a.png", "b.jpg", "c.gif", "d.tif")),
    Kind("arrays", "data.npz", "arrays", lambda folder: npz(str(folder / "data.npz"))),
)
