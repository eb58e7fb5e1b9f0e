"""CPU seconds (user + system) until a command answers: help, listings, and mistakes. See README.md.

python -m experiments.benchmarks.startup.run [--before FOLDER]: FOLDER is a checkout of an earlier commit, whose answers
are timed in turn with those of this one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from nas.runs.files import write_json

HERE = Path(__file__).resolve().parent
REPEATS = 3
COMMANDS = ["derive", "doctor", "evaluate", "export", "inspect", "latency", "report", "search", "train", "zoo"]
ANSWERS = [
    ["-c", "pass"],
    ["-m", "nas"],
    ["-m", "nas.zoo"],
    ["-m", "nas.inspect", "space=fbnet"],
    *(["-m", f"nas.{name}", "--help"] for name in COMMANDS),
    ["-m", "nas.search", "no_such_key=1"],
    ["-m", "nas.search", "space=no_such_card"],
    ["-m", "nas.search", "method.epochs=a"],
    ["-m", "nas.search", "method.epochs=0"],
    ["-m", "nas.search", "budget.fraction=3"],
    ["-m", "nas.train", "arch=fbnet_a", "recipe.lr=a"],
]


def cpu_seconds(words: list[str], root: Path) -> float:
    """User and system seconds of one process that runs `python words` on the packages in `root`."""
    before = os.times()
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *words], cwd=root, env=environment, capture_output=True, check=False)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="a checkout of an earlier commit")
    before = parser.parse_args().before
    roots = ([("before", before)] if before else []) + [("now", HERE.parents[2])]
    rows = []
    for words in ANSWERS:
        times: dict[str, list[float]] = {name: [] for name, _ in roots}
        for _ in range(REPEATS):
            for name, root in roots:
                times[name].append(cpu_seconds(words, root))
        rows.append({"command": " ".join(words), **{name: round(min(found), 2) for name, found in times.items()}})
        print(rows[-1], flush=True)
    write_json(HERE / "results.json", {"unit": "CPU seconds, least of repeats", "repeats": REPEATS, "rows": rows})


if __name__ == "__main__":
    main()
