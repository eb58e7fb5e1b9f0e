"""Is the error that a table from ten times promises the one it has? And is the choice it makes a good one?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.help_fbnet_few_shot.run import DATA, SOURCES, TARGETS, VALIDATION, Bench
from nas.latency.device import Device
from nas.latency.imports.networks import learned_table
from nas.latency.learning.few import few_sample_table
from nas.latency.learning.learn import Additive
from nas.latency.tables.proof import Errors
from nas.runs.files import write_json

DRAWS = 10
FILE = Path(__file__).parent / "honesty.json"


def main() -> None:
    bench = Bench(DATA)
    space, population = bench.space, bench.population
    tables = {
        name: learned_table(space, population[:4000], bench.times[name][:4000], Device(name=name)) for name in SOURCES
    }
    found = {}
    print("| new device | promised error | error | chosen: with sources | Spearman | error without sources |")
    print("| --- | --- | --- | --- | --- | --- |")
    for device in (*TARGETS, *VALIDATION):
        make, times = device.split("_")[0], bench.times[device]
        sources = [table for name, table in tables.items() if name.split("_")[0] != make]
        rows = []
        for draw in bench.draws[:DRAWS]:
            made = few_sample_table(space, population[draw], times[draw], sources, Device(name=device))
            alone = few_sample_table(space, population[draw], times[draw], [], Device(name=device))
            assert made.proof is not None
            errors, without = (
                Errors.of(Additive(*table.rows(space)).predict(population[4000:]), times[4000:])
                for table in (made, alone)
            )
            rows.append(
                {
                    "promised_percent": made.proof.calibrated.mape_percent,
                    "percent": errors.mape_percent,
                    "spearman": errors.spearman,
                    "with_sources": "tables" in made.calibration["model"],
                    "without_percent": without.mape_percent,
                }
            )
        found[device] = rows
        mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        chosen = f"{mean['with_sources'] * DRAWS:.0f} of {DRAWS}"
        print(
            f"| {device} | {mean['promised_percent']:.1f}% | {mean['percent']:.1f}% | {chosen} "
            f"| {mean['spearman']:.3f} | {mean['without_percent']:.1f}% |",
            flush=True,
        )
    write_json(FILE, found)


if __name__ == "__main__":
    main()
