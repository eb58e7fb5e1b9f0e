"""The table of `results.jsonl` and the differences that it is about, paired by seed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from experiments import records
from experiments.equal_latency import mean_interval

RANDOM, AS_QUICK = "random", "random, as quick as the free one"  # names of networks, each with its number


def report(file: Path) -> None:
    """Print what `file` holds, of a comparison that is finished or not."""
    print(text(records.read(file)))


def top1_of(found: list[records.Record]) -> dict[str, dict[int, float]]:
    """Test accuracy by name and seed; random networks are one name, the mean of those of the seed."""
    top1: dict[str, dict[int, list[float]]] = {}
    for record in (r for r in found if r["kind"] == "training"):
        top1.setdefault(_name(record["name"]), {}).setdefault(record["seed"], []).append(record["top1_percent"])
    return {name: {seed: fmean(values) for seed, values in by_seed.items()} for name, by_seed in top1.items()}


def text(found: list[records.Record]) -> str:
    """A table of the networks, one of what the found ones have more than each, and what the searches took."""
    top1 = top1_of(found)
    lines = ["| network | seeds | ms, mean | MACs (M), mean | top-1 %, by seed |", "| --- | --- | --- | --- | --- |"]
    for name, by_seed in top1.items():
        times = [r["latency_ms"] for r in found if r["kind"] == "time" and _name(r["name"]) == name]
        macs = fmean(r["macs"] for r in found if r["kind"] == "training" and _name(r["name"]) == name) / 1e6
        figures = ", ".join(f"{by_seed[seed]:.2f}" for seed in sorted(by_seed))
        ms = f"{fmean(times):.4f}" if times else "not yet measured"
        lines.append(f"| {name} | {len(by_seed)} | {ms} | {macs:.2f} | {figures} |")
    lines += ["", "| | less | seeds | points, 95% interval | above in |", "| --- | --- | --- | --- | --- |"]
    for one in ("found", "found, free"):
        lines += [_difference(one, other, top1) for other in top1 if not other.startswith("found")]
    lines.append("")
    for kind in ("search", "random search"):
        mine = [r for r in found if r["kind"] == kind]
        if mine:
            minutes = ", ".join(f"{r['processor_seconds'] / 60:.1f}" for r in mine)
            lines.append(f"{kind}: {minutes} processor minutes")
    probable = ", ".join(f"{r['mean_top_probability']:.2f}" for r in found if r["kind"] == "search")
    trained = ", ".join(str(len(r["scores"])) for r in found if r["kind"] == "random search")
    lines.append(f"mean top probability: {probable}; networks that random search trained: {trained}")
    return "\n".join(lines)


def _name(name: str) -> str:
    kind, _, number = name.rpartition(" ")
    return f"{kind}, mean" if number.isdigit() else name


def _difference(one: str, other: str, top1: Mapping[str, Mapping[int, float]]) -> str:
    seeds = sorted(top1.get(one, {}).keys() & top1[other].keys())
    if len(seeds) < 2:
        return f"| {one} | {other} | {len(seeds)} | no spread yet | |"
    points = [top1[one][seed] - top1[other][seed] for seed in seeds]
    mean, half = mean_interval(points)
    return f"| {one} | {other} | {len(seeds)} | {mean:+.2f} ± {half:.2f} | {sum(p > 0 for p in points)} |"
