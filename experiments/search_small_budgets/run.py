"""Searches of tables at 20 to 200 evaluations, with and without a budget (see README.md)."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from experiments import records
from experiments.compare.report import interval
from experiments.search_small_budgets.methods import methods
from experiments.search_small_budgets.problems import Problem, problems, table_options
from nas.methods.base import Method
from nas.search.scores.search import search_scores

HERE = Path(__file__).parent
EVALUATIONS = (20, 50, 64, 80, 100, 200)


def look(problem: Problem, method: Method, batch: int, seed: int, most: int) -> dict[str, object]:
    """Regret, and what is reported of the best point, after each of `EVALUATIONS` up to `most`."""
    began = time.process_time()
    found = search_scores(problem.table, method, most, problem.limits, batch, seed)
    counts = [n for n in EVALUATIONS if n <= most]
    record: dict[str, object] = {"evaluations": counts, "regret": [float(found.regret[n - 1]) for n in counts]}
    if problem.reported is not None:
        rows = problem.table.space.index(found.points)
        best = [int(rows[np.nanargmax(found.scores[:n])]) for n in counts]
        record["reported"] = [float(problem.reported[row]) for row in best]
    return {**record, "processor_seconds": time.process_time() - began}


def report(file: Path) -> None:
    """A table a problem: regret after so many evaluations, mean and 95% bootstrap interval over seeds, whose number
    stands in brackets where not all went so far."""
    found = records.read(file)
    for problem in dict.fromkeys(r["problem"] for r in found):
        mine = [r for r in found if r["problem"] == problem]
        counts = max((r["evaluations"] for r in mine), key=len)
        print(f"\n{problem}\n\n| method | seeds | {' | '.join(f'after {n}' for n in counts)} | seconds |")
        print("| --- | --- |" + " --- |" * (len(counts) + 1))
        for name in dict.fromkeys(r["method"] for r in mine):
            of = [r for r in mine if r["method"] == name]
            cells = []
            for i in range(len(counts)):
                values = [r["regret"][i] for r in of if len(r["regret"]) > i]
                cells.append("{:.3f} [{:.3f}, {:.3f}]".format(*interval(values)) if values else "-")
                if values and (told := [r["reported"][i] for r in of if len(r.get("reported", ())) > i]):
                    cells[-1] += f"; {np.mean(told):.2f}"
                if values and len(values) < len(of):
                    cells[-1] += f" ({len(values)})"
            seconds = np.mean([r["processor_seconds"] for r in of])
            print(f"| {name} | {len(of)} | {' | '.join(cells)} | {seconds:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="*", help="names of them; all by default")
    parser.add_argument("--methods", nargs="*", help="names of them; all by default")
    parser.add_argument("--evaluations", type=int, default=200)
    options = table_options(parser, HERE, seeds=20)
    if options.report:
        report(options.out)
        return
    known = problems(options.data)
    for name in options.problems or ():
        if name not in known:
            parser.error(f"--problems has no {name!r}; there are {', '.join(known)}")
    found = records.finished(options.out)
    made = {name: load() for name, load in known.items() if not options.problems or name in options.problems}
    by_limits = {limited: methods(limited) for limited in (False, True)}
    for seed in range(options.seeds):
        for name, problem in made.items():
            for method_name, (method, batch) in by_limits[bool(problem.limits)].items():
                if options.methods and method_name not in options.methods:
                    continue
                kept = [r for r in found if (r["problem"], r["method"], r["seed"]) == (name, method_name, seed)]
                if any(max(r["evaluations"]) >= options.evaluations for r in kept):
                    continue
                outcome = look(problem, method, batch, 100 + seed, options.evaluations)
                found = [r for r in found if r not in kept]  # a longer search of the same seed takes its place
                found.append({"problem": name, "method": method_name, "batch": batch, "seed": seed, **outcome})
                records.write(options.out, found)
    report(options.out)


if __name__ == "__main__":
    main()
