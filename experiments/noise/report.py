"""The figures of README.md from what `run` wrote."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from experiments import records
from experiments.figures import fill
from experiments.noise.run import STATES, compared

HERE = Path(__file__).parent
ENOUGH = 0.8  # of a budget


def evaluations(found: list[dict[str, Any]]) -> list[str]:
    """How far the reported and the raw times of the same network are apart."""
    lines = ["| machine | load | runs | calm speed, ms | within 10% of the median | as it was, ms |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for state in STATES:
        mine = [r for r in found if r["state"] == state]
        if mine:
            calm, now = (np.array([r[key] for r in mine]) for key in ("measured_latency_ms", "latency_now_ms"))
            near = int((np.abs(calm / np.median(calm) - 1) <= 0.1).sum())
            lines.append(
                f"| {state} | {_load(mine)} | {len(mine)} | {calm.min():.4f} to {calm.max():.4f} | "
                f"{near} of {len(mine)} | {now.min():.4f} to {now.max():.4f} |"
            )
    return lines


def tables(found: list[dict[str, Any]]) -> list[str]:
    """The proofs, with and without pairing."""
    lines = ["| FBNet's table, pixels | machine | load | mean error, tau | noise alone | margin | slower | seconds |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for r in sorted(found, key=lambda r: (r["resolution"], r["state"])):
        fit, noise = r["proof"]["calibrated"], r["proof"]["ceiling"]
        lines.append(
            f"| {r['resolution']} | {r['state']} | {r['load']:.1f} | {fit['mape_percent']:.2f}%, "
            f"{fit['kendall_tau']:.3f} | {noise['mape_percent']:.2f}%, {noise['kendall_tau']:.3f} | "
            f"{100 * r['proof']['margin']:.1f}% | {100 * (r['slowdown'] - 1):.0f}% | {r['seconds']:.0f} |"
        )
    return lines


def estimates(found: list[dict[str, Any]]) -> list[str]:
    """Estimates of 40 networks against those by the calm machine's table."""
    lines = [
        "| pixels | machine | paired | mean difference | largest | bias |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for r in found:
        lines.append(
            f"| {r['resolution']} | {r['state']} | {'yes' if r['paired'] else 'no'} | {r['mean_percent']:.1f}% | "
            f"{r['largest_percent']:.1f}% | {r['bias_percent']:+.1f}% |"
        )
    return lines


def searches(found: list[dict[str, Any]]) -> list[str]:
    """Whether budgets were met at the table's conditions, and how much of them was used."""
    lines = ["| machine | load | searches | met | at least 80% used | measured / asked | as it was / asked |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for state in STATES:
        mine = [r for r in found if r["state"] == state]
        if mine:
            used, now = (
                np.array([r[key] / r["asked_latency_ms"] for r in mine])
                for key in ("measured_latency_ms", "latency_now_ms")
            )
            lines.append(
                f"| {state} | {_load(mine)} | {len(mine)} | {sum(r['budget_met'] for r in mine)} | "
                f"{int((used >= ENOUGH).sum())} | {used.min():.2f} to {used.max():.2f} | "
                f"{now.min():.2f} to {now.max():.2f} |"
            )
    return lines


def _load(found: list[dict[str, Any]]) -> str:
    loads = [r["load"] for r in found]
    return f"{min(loads):.1f} to {max(loads):.1f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/noise"), help="what `run` was told")
    out = parser.parse_args().out
    shown = []
    for name, show in (("evaluations", evaluations), ("tables", tables), ("searches", searches)):
        if found := records.finished(out / f"{name}.jsonl"):
            records.write(HERE / f"{name}.jsonl", found)
            shown += [*show(found), ""]
    if differences := compared(out):
        shown += [*estimates(differences), ""]
    fill(HERE / "README.md", "\n".join(shown).rstrip())
