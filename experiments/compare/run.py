"""Search methods x spaces x seeds under equal allowances, beside networks that need no search (see README.md)."""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from experiments import records
from experiments.compare.report import report
from experiments.compare.tasks import Allowance, Comparison, MacroTable, Trainings, Used, baselines, best_of
from nas.data.card import data_of
from nas.data.space import build_space
from nas.runs.memory import keep_freed_memory
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import compose
from search_spaces.recipe import Recipe

METHODS = ("random", "regularized_evolution", "tpe", "nsga2", "predictor")
TABLES = ("nas_bench_macro",)
BATCH = 5  # candidates a method is asked for at a time
MARKS = (10, 20, 50, 100, 200, 500, 1000)  # trainings after which the best so far is noted


def task_of(space: str, options: argparse.Namespace) -> Comparison:
    """The comparison called `space`: a table of `TABLES`, or a space card trained on `--data`."""
    if space in TABLES:
        return MacroTable(options.macs_share)
    config = compose("search", [f"space={space}", *options.set])
    recipe: Recipe = cards.build(config["recipe"], "recipe", {})
    finals = {}
    for name in options.retrain:
        finals[name] = cards.build(compose("train", [f"recipe={name}"])["recipe"], "recipe", {})
    data = {**config["data"], "resolution": config["space"].get("resolution") or config["data"].get("resolution")}
    found = build_space(config["space"], data_of(data))
    return Trainings(found, data, recipe, finals or {"quick": recipe}, options.macs_share)


def allowance_of(options: argparse.Namespace) -> Allowance:
    return Allowance(options.trainings, options.macs, options.seconds)


def search(space: str, method: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One search under the allowance: what it found, and the best score after each of `MARKS` trainings."""
    keep_freed_memory()
    task, allowance = task_of(space, options), allowance_of(options)
    card = compose("search", [f"method={method}"])["method"]
    proposal = cards.build(card, "method", {}).start(task.feasible, seed)
    used, curve = Used(time.perf_counter()), {}
    while allowance.left(used):
        wanted = BATCH if allowance.trainings is None else min(BATCH, allowance.trainings - used.trainings)
        population = proposal.ask(wanted)
        if not len(population):
            break  # every network within the budget was looked at
        proposal.tell(population, task.scores(population, seed))
        used = used.plus(len(population), float(task.spent(population).sum()))
        for mark in MARKS:
            if mark <= used.trainings and str(mark) not in curve:
                curve[str(mark)] = float(np.nanmax(proposal.scores[:mark]))
    genotype = tuple(int(gene) for gene in proposal.best()[0])
    return {
        "space": space,
        "method": method,
        "seed": seed,
        "genotype": list(genotype),
        "trainings": used.trainings,
        "macs_spent": used.macs,
        "search_seconds": time.perf_counter() - used.began,
        "best_so_far": curve,
        **task.final(genotype, seed),
    }


def without_search(space: str, name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One of `baselines`: the best of its few networks by the score a search sees."""
    task = task_of(space, options)
    population = baselines(task)[name]
    genotype = best_of(task, population, seed) if len(population) > 1 else tuple(population[0].tolist())
    used = {"trainings": len(population), "macs_spent": float(task.spent(population).sum())}
    return {
        "space": space,
        "method": name,
        "seed": seed,
        "genotype": list(genotype),
        **used,
        **task.final(genotype, seed),
    }


def run(job: tuple[str, str, int], options: argparse.Namespace) -> dict[str, Any]:
    space, method, seed = job
    return (search if method in options.methods else without_search)(space, method, seed, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spaces", nargs="+", default=["nas_bench_macro"], help="tables or space cards")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="random is always run")
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--trainings", type=int, help="each search may train so many candidates")
    parser.add_argument("--macs", type=float, help="or spend so many multiply-adds on training them")
    parser.add_argument("--seconds", type=float, help="or take so long")
    parser.add_argument("--macs-share", type=float, help="budget: networks below this share of the range of MACs")
    parser.add_argument("--retrain", nargs="*", default=[], help="recipe cards that train the networks found")
    parser.add_argument("--set", nargs="*", default=[], help="key=value of nas.search for space cards: data, recipe...")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/compare"))
    options = parser.parse_args()
    if options.trainings is None and options.macs is None and options.seconds is None:
        options.trainings = 100
    allowance_of(options)
    options.methods = list(dict.fromkeys(["random", *options.methods]))
    file = options.out / "results.jsonl"
    found = records.finished(file)
    done = {(r["space"], r["method"], r["seed"]) for r in found}
    jobs = [
        (space, method, seed)
        for seed in range(options.seeds)
        for space in options.spaces
        for method in [*options.methods, *baselines(task_of(space, options))]
    ]
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(run, job, options) for job in jobs if job not in done]:
            found.append(future.result())
            records.write(file, found)
            shown = {key: value for key, value in found[-1].items() if key not in ("genotype", "best_so_far")}
            print(json.dumps(shown), flush=True)
    report(found, options.out)


if __name__ == "__main__":
    main()
