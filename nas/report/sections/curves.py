"""How search and training went: a small chart for each figure that was recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nas.report import charts
from nas.report.parts import Chart, Section
from search_spaces.arch import Arch


class Curve(NamedTuple):
    """A chart: its title, the recorded figures with their legends, the figure of the result that is a line across it,
    and the legends that are dots alone."""

    title: str
    figures: Sequence[tuple[str, str]]
    line: tuple[str, str] | None = None
    loose: Sequence[str] = ()


CURVES = (
    Curve("pretrain: loss on the labels", [("largest_loss", "largest arch"), ("smallest_loss", "smallest")]),
    Curve(
        "pretrain: accuracy on the training images, %",
        [("largest_top1_percent", "largest arch"), ("smallest_top1_percent", "smallest")],
        ("chance_percent", "chance"),
    ),
    Curve("search: loss", [("weight_loss", "weight steps"), ("theta_loss", "theta steps")]),
    Curve("search: expected latency, ms", [("expected_latency_ms", "expected")], ("limit_latency_ms", "limit")),
    Curve("search: entropy of theta, nats", [("theta_entropy", "entropy")]),
    Curve(
        "search: how decided, of 1",
        [("mean_top_probability", "mean top probability"), ("normalised_entropy", "entropy")],
        ("decided_at", "decided"),
    ),
    Curve("search: temperature", [("temperature", "temperature")]),
    Curve(
        "search: validation accuracy, %",
        [("validation_top1_percent", "candidate"), ("best_validation_top1_percent", "best so far")],
        loose=("candidate",),
    ),
    Curve(
        "search: latency of candidates, ms",
        [("latency_ms", "estimated")],
        ("limit_latency_ms", "limit"),
        loose=("estimated",),
    ),
    Curve("train: loss", [("train_loss", "training")]),
    Curve(
        "train: accuracy, %",
        [("top1_percent", "test images"), ("train_top1_percent", "training images, as augmented")],
        ("chance_percent", "chance"),
    ),
)
CANDIDATE_METRICS = {"validation_top1_percent", "latency_ms"}  # one record per candidate


@dataclass(frozen=True)
class Curves(Section):
    """A chart for each figure that was recorded."""

    charts: Sequence[Chart]

    heading, template = "How it went", "curves.html"


def curves(run: Path, metrics: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> Curves | None:
    """The charts of all figures in `metrics`. None where there are none."""
    guessing = result.get("guessing_percent")
    chance = 100 / Arch.load(run / "arch.json").num_classes if guessing is None else guessing
    known = {**result, "chance_percent": chance}
    drawn = [_chart(curve, metrics, known) for curve in CURVES]
    shown = [chart for chart in drawn if chart is not None]
    return Curves(shown) if shown else None


def _chart(curve: Curve, metrics: Sequence[Mapping[str, Any]], known: Mapping[str, Any]) -> Chart | None:
    phase = curve.title.partition(":")[0]
    records = [record for record in metrics if record["phase"] == phase]
    series = [
        (legend, [(r["step"] + 1, r[name]) for r in records if isinstance(r.get(name), int | float)])
        for name, legend in curve.figures
    ]
    line = None
    if curve.line and known.get(curve.line[0]) is not None:
        line = (curve.line[1], known[curve.line[0]])
    step = "candidate" if any(name in CANDIDATE_METRICS for name, _ in curve.figures) else "epoch"
    return charts.line_chart(curve.title, series, step, line, curve.loose)
