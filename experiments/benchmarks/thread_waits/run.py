"""What a training step takes beside busy neighbours, by how torch's threads wait for each other. See README.md."""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from experiments.benchmarks.stepping import circumstances
from experiments.benchmarks.throughput.run import SUBJECTS, seconds_of
from experiments.neighbours import beside
from nas.networks.network import build_network
from nas.runs.files import write_json
from nas.runs.memory import keep_freed_memory
from search_spaces import zoo

ONE = "one thread"
WAYS: dict[str, dict[str, str]] = {  # environment of the process; the first is the rule the others compare to
    "as torch does": {},
    "2,000 spins": {"GOMP_SPINCOUNT": "2000"},
    "asleep": {"OMP_WAIT_POLICY": "passive"},
    ONE: {"OMP_NUM_THREADS": "1"},
}
NETWORKS = ("found, 32 pixels", "mobilenetv2_050, 32 pixels", "fbnet's supernet, hard", "fbnetc_100, 224 pixels")
BUSY = "while True: pass"
PIECE = ("-m", "experiments.benchmarks.thread_waits.run", "--piece")


def step_ms(name: str, repeats: int) -> float:
    """Median milliseconds of a training step in this process."""
    keep_freed_memory()
    if name in SUBJECTS:
        module, call, images, *_ = SUBJECTS[name](False)
    else:
        arch = dataclasses.replace(zoo.published(name.partition(",")[0], 10), resolution=32)
        module, images = build_network(arch), torch.randn(32, 3, 32, 32)
        call = nn.Module.__call__
    module, images = (what.to(memory_format=torch.channels_last) for what in (module.train(), images))
    labels = torch.arange(len(images)).remainder(10)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)

    def step() -> None:
        F.cross_entropy(call(module, images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return 1e3 * statistics.median(seconds_of(step, torch.device("cpu"), repeats))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of all ways in turn, each in a process of its own")
    parser.add_argument("--repeats", type=int, default=3, help="visits of a process")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", nargs="*", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--save", action="store_true", help="write results-cpu.json beside this file")
    parser.add_argument("--piece", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.piece:
        print(step_ms(options.piece, options.repeats))
        return
    rows: dict[str, Any] = {}
    for name in options.only:
        for busy in (0, options.threads // 2, options.threads):
            taken: dict[str, list[float]] = {way: [] for way in WAYS}
            with beside([BUSY] * busy):
                for _ in range(options.rounds):
                    for way, more in WAYS.items():
                        environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), **more}
                        command = [sys.executable, *PIECE, name, "--repeats", str(options.repeats)]
                        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                        taken[way].append(float(said.stdout))
            first = statistics.median(taken[next(iter(WAYS))])
            key = f"{name}, {busy} neighbours"
            rows[key] = {
                way: {"ms": ms, "median": statistics.median(ms), "ratio": statistics.median(ms) / first}
                for way, ms in taken.items()
            }
            shown = {way: f"{row['median']:.0f} ({row['ratio']:.2f} x)" for way, row in rows[key].items()}
            print(f"{key}: {shown}", flush=True)
    if options.save:
        found = {**circumstances(options, torch.device("cpu")), "rounds": options.rounds, "step_ms": rows}
        write_json(Path(__file__).with_name("results-cpu.json"), found)


if __name__ == "__main__":
    main()
