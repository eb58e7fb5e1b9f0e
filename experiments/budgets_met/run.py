"""Full-length searches over seeds and budgets: is the estimate within what was asked, and the measurement too?"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from experiments import records
from nas.runs.files import read_json

HERE = Path(__file__).parent
CASES = {"fbnet": "dnas", "single_path": "single_path"}
SEEDS, FRACTIONS = (0, 1, 2, 3), (0.25, 0.5, 0.75)
TOLERANCE = 0.05  # what counts as met by the measurement


def search(space: str, method: str, seed: int, fraction: float, out: Path, extra: list[str]) -> dict[str, Any]:
    """One `python -m nas.search` on digits, up to the measured network; its figures."""
    folder = out / f"{space}-{seed}-{fraction}"
    command = [sys.executable, "-m", "nas.search", f"space={space}", f"method={method}", f"seed={seed}"]
    command += [f"budget.fraction={fraction}", "train.enabled=false", f"tables={out / 'tables'}", f"run_dir={folder}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command += [f"budget.tolerance={TOLERANCE}", "budget.rounds=3"]
    done = subprocess.run([*command, *extra], env=environment, stdout=subprocess.DEVNULL)
    if done.returncode > 1:  # 1: a budget that was missed, which is what is counted here
        done.check_returncode()
    result = read_json(folder / "result.json", "result")
    keys = ("asked_latency_ms", "limit_latency_ms", "estimated_latency_ms", "measured_latency_ms", "search_seconds")
    rounds = read_json(folder / "derived.json", "derived networks")["rounds"]
    return {"space": space, "seed": seed, "fraction": fraction, "rounds": rounds, **{key: result[key] for key in keys}}


def report(found: list[dict[str, Any]]) -> None:
    print(
        "| space | budget | searches | estimated / asked | measured / asked | estimate met | measured <= 1.05 asked |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for space, fraction in itertools.product(CASES, FRACTIONS):
        mine = [r for r in found if (r["space"], r["fraction"]) == (space, fraction)]
        if not mine:
            continue
        ratios = {
            kind: sorted(r[f"{kind}_latency_ms"] / r["asked_latency_ms"] for r in mine)
            for kind in ("estimated", "measured")
        }
        shown = {kind: ", ".join(f"{value:.2f}" for value in values) for kind, values in ratios.items()}
        within = {
            "estimated": sum(value <= 1 for value in ratios["estimated"]),
            "measured": sum(value <= 1 + TOLERANCE for value in ratios["measured"]),
        }
        print(
            f"| {space} | {100 * fraction:.0f}%, {mine[0]['asked_latency_ms']:.3g} ms | {len(mine)} | "
            f"{shown['estimated']} | {shown['measured']} | {within['estimated']} of {len(mine)} | "
            f"{within['measured']} of {len(mine)} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", choices=list(CASES), nargs="*", default=list(CASES))
    parser.add_argument("--out", type=Path, default=Path("runs/budgets_met"))
    parser.add_argument("--report", type=Path, help="print the table of this results.jsonl instead")
    parser.add_argument("overrides", nargs="*", help="further key=value of nas.search")
    options = parser.parse_args()
    file = options.report or options.out / "results.jsonl"
    found = records.read(file) if options.report else records.finished(file)
    if not options.report:
        options.out.mkdir(parents=True, exist_ok=True)
        done = {(r["space"], r["seed"], r["fraction"]) for r in found}
        for seed, space, fraction in itertools.product(SEEDS, options.space, FRACTIONS):
            if (space, seed, fraction) not in done:
                found.append(search(space, CASES[space], seed, fraction, options.out, options.overrides))
                records.write(file, found)
                print(json.dumps(found[-1]), flush=True)
    report(found)


if __name__ == "__main__":
    main()
