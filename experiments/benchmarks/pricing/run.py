"""How many FBNet genotypes a compiled table prices per second, beside a loop over a dict."""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np

from nas.runs.files import write_json
from nas.runs.machine import cpu_model
from search_spaces.families.fbnet import fbnet

HERE = Path(__file__).parent
GENOTYPES, LOOPED, REPEATS = 2_000_000, 20_000, 7


def run() -> dict[str, object]:
    space = fbnet(224)
    rng = np.random.default_rng(0)
    table = {entry: rng.uniform(0.05, 2.0) for entry in space.table_entries()}
    cost = space.cost(lambda layer, shape: table[layer, shape])
    fixed = cost.fixed
    population = space.sample(GENOTYPES, rng)

    by_name = [
        {label: table[layer, position.shape] for label, layer in zip(position.labels, position.candidates, strict=True)}
        for position in space.positions
    ]
    names = [[position.labels[g] for position, g in zip(space.positions, genotype, strict=True)]
             for genotype in population[:LOOPED].tolist()]  # fmt: skip

    def loop() -> np.ndarray:
        return np.array([fixed + sum(row[name] for row, name in zip(by_name, arch, strict=True)) for arch in names])

    def gather() -> np.ndarray:
        return cost(population)

    times: dict[str, list[float]] = {"gather": [], "dict loop": []}
    for _ in range(REPEATS):  # interleaved, so that drift hits both
        for name, function, count in (("gather", gather, GENOTYPES), ("dict loop", loop, LOOPED)):
            started = time.perf_counter()
            priced = function()
            times[name].append(count / (time.perf_counter() - started))
            if name == "gather":
                gathered = priced[:LOOPED]
    assert np.allclose(gathered, priced)
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "genotypes": GENOTYPES,
        "genotypes_per_second": {
            name: {"median": float(np.median(rates)), "min": min(rates), "max": max(rates)}
            for name, rates in times.items()
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true", help="write results.json beside this file")
    arguments = parser.parse_args()
    results = run()
    print(results)
    if arguments.save:
        write_json(HERE / "results.json", results)
