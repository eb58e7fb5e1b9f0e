"""`derive.best_of=all`: a reference that is ahead is handed over in the found network's place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.derive.verdict import Asked
from nas.runs.files import write_text
from nas.runs.run import Run
from nas.search.references.reference import Reference
from nas.terminal.progress import log
from search_spaces.arch import Arch

FOUND = "found.json"  # of a run directory: the arch of the found network, where another one is handed over
OWN = (
    "arch",
    "genotype",
    "estimated_latency_ms",
    "measured_latency_ms",
    "params",
    "macs",
    "top1_percent",
    "weights",
    "budget_met",
)


def write_handed(run: Run, found: Arch, best: Reference) -> None:
    """`best` as the run's `arch.json`, the `found` one beside it."""
    log(f"{best.title} is handed over: {best.top1_percent:.2f}%; the found network is in {run.path / FOUND}")
    write_text(run.path / FOUND, found.to_json())
    write_text(run.path / "arch.json", best.arch.to_json())


def handed_record(found: Mapping[str, Any], best: Reference, asked: Asked) -> dict[str, Any]:
    """`result.json` of a run that hands over `best`, from the record of what it `found`, which is kept as `found`."""
    assert best.figures is not None
    measured = best.measured
    return {
        **found,
        "handed_over": best.title,
        "found": {name: found[name] for name in OWN},
        "arch": best.arch.id,
        "genotype": None,
        "estimated_latency_ms": best.estimated_latency_ms,
        "measured_latency_ms": None if measured is None else measured.latency_ms,
        "latency_now_ms": None if measured is None else measured.now_ms,
        "latency_note": None if measured is None else measured.note or None,
        "budget_met": None if found["budget_met"] is None else True,
        "params": best.arch.params,
        "macs": best.arch.macs,
        "memory_kib": best.arch.memory_kib(asked.counted),
        "weights_kib": best.arch.weights_kib(asked.counted),
        "energy_mj": None,
        "activations": best.arch.activations,
        **{name: best.figures[name] for name in ("top1_percent", "top5_percent", "train_seconds")},
        "weights": "from scratch",
        "validation_top1_percent": None,
    }
