"""The figures of a sweep over lambda, gathered from its run directories into `results.json`, or printed (README.md)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from experiments.equal_latency import mean_interval
from nas.report.front_rows import finished_runs
from nas.runs.files import read_json, write_text

KEYS = ("estimated_latency_ms", "measured_latency_ms", "top1_percent", "macs", "search_seconds", "seed")
SETTING = ("mode", "epochs", "latency_weight")  # what a row of the table is


def gather(folder: Path) -> list[dict[str, Any]]:
    """One record for each finished run below `folder`, by mode, lambda and seed."""
    records = []
    for run in finished_runs(folder):
        method = yaml.safe_load((run / "config.yaml").read_text())["method"]
        result = read_json(run / "result.json", "result")
        last = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines() if '"search"' in line][-1]
        records.append(
            {key: method[key] for key in ("mode", "epochs", "latency_weight")}
            | {key: result[key] for key in KEYS}
            | {"expected_latency_ms": last["expected_latency_ms"], "genotype": result["genotype"]}
        )
    return sorted(records, key=lambda record: tuple(record[key] for key in (*SETTING, "seed")))


def report(records: list[dict[str, Any]]) -> None:
    """Print the table, and how estimated latency goes with lambda."""
    print(
        "| mode | epochs | lambda | seeds | expected ms | estimated ms | measured ms | MACs (M) | top-1 % | search s |"
    )
    print("|" + " --- |" * 10)
    settings = list(dict.fromkeys(tuple(record[key] for key in SETTING) for record in records))
    for setting in settings:
        mine = [record for record in records if tuple(record[key] for key in SETTING) == setting]
        cells = []
        for key, form, unit in (
            ("expected_latency_ms", ".3f", 1.0),
            ("estimated_latency_ms", ".3f", 1.0),
            ("measured_latency_ms", ".3f", 1.0),
            ("macs", ".2f", 1e6),
            ("top1_percent", ".2f", 1.0),
        ):
            values = [record[key] / unit for record in mine]
            if len(values) > 1:
                mean, half = mean_interval(values)
                cells.append(f"{mean:{form}} ± {half:{form}}")
            else:
                cells.append(f"{values[0]:{form}}")
        seconds = np.median([record["search_seconds"] for record in mine])
        print(f"| {setting[0]} | {setting[1]} | {setting[2]:g} | {len(mine)} | {' | '.join(cells)} | {seconds:.0f} |")
    for line in dict.fromkeys((record["mode"], record["epochs"], record["seed"]) for record in records):
        mine = [r for r in records if (r["mode"], r["epochs"], r["seed"]) == line]
        ms = [record["estimated_latency_ms"] for record in mine]
        print(
            f"{line[0]}, {line[1]} epochs, seed {line[2]}: {' '.join(f'{value:.3f}' for value in ms)} ms, lambda rising"
        )


def main() -> None:
    """The command line: a folder of runs to gather, or a file to read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, help="the folder of the multiruns; results go to its results.json")
    parser.add_argument("--report", type=Path, help="print the table of this results.json instead")
    options = parser.parse_args()
    if options.report:
        report(read_json(options.report, "results"))
    elif options.runs:
        records = gather(options.runs)
        write_text(options.runs / "results.json", "[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n")
        report(records)
    else:
        parser.error("--runs (to gather) or --report (to read) is needed")


if __name__ == "__main__":
    main()
