"""Pre-training on a million sampled FBNet architectures, and candidates scored per second: predictor and table."""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch

from nas.networks.zero_cost import cost_statistics
from nas.runs.files import write_json
from nas.runs.machine import cpu_model
from nas.runs.seeding import numpy_generator
from predictors.fbnetv3 import FBNetV3
from predictors.pretraining import Pretraining
from predictors.process import StructuredProcess
from search_spaces.families.fbnet import fbnet

HERE = Path(__file__).parent
SAMPLES, TRAINED, BATCH, REPEATS = 1_000_000, 200, 200_000, 5


def run(threads: int) -> dict[str, object]:
    torch.set_num_threads(threads)
    space = fbnet(224)
    rng = numpy_generator(0, "predictor benchmark")
    statistics = cost_statistics(space)
    times = {entry: rng.uniform(0.05, 2.0) for entry in space.table_entries()}
    latency_ms = space.cost(lambda layer, shape: times[layer, shape])
    card = FBNetV3(pretraining=Pretraining(samples=SAMPLES, batch_size=4096))
    started = time.perf_counter()
    pretrained = card.pretrain(variables=space.variables, statistics=statistics)
    pretraining_seconds = time.perf_counter() - started
    train = space.sample(TRAINED, rng)
    targets = np.log(statistics(train)[:, 1]) + rng.normal(0, 0.05, TRAINED)
    batch = space.sample(BATCH, rng)
    rates: dict[str, list[float]] = {}
    fits: dict[str, float] = {}
    for name, predictor in (
        ("fbnetv3", card.build(variables=space.variables, pretrained=pretrained)),
        ("fbnetv3, 4 members", FBNetV3(members=4, pretraining=None).build(variables=space.variables)),
        ("structured process", StructuredProcess().build(variables=space.variables, statistics=statistics)),
    ):
        started = time.perf_counter()
        predictor.fit(train, targets)
        fits[name] = time.perf_counter() - started
        predictor.predict(batch[:1000])  # first calls allocate
        rates[name] = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            mean, _ = predictor.predict(batch)
            feasible = latency_ms(batch) <= 25.0
            np.where(feasible, mean, -np.inf).argmax()
            rates[name].append(BATCH / (time.perf_counter() - started))
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "threads": threads,
        "pretraining": {
            "samples": SAMPLES,
            "seconds": pretraining_seconds,
            "r2": dict(zip(("params", "macs", "activations"), pretrained.r2, strict=True)),
        },
        "trained": TRAINED,
        "fit_seconds": fits,
        "batch": BATCH,
        "candidates_per_second": {
            name: {"median": float(np.median(r)), "min": min(r), "max": max(r)} for name, r in rates.items()
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save", action="store_true", help="write results.json beside this file")
    arguments = parser.parse_args()
    results = run(arguments.threads)
    print(results)
    if arguments.save:
        write_json(HERE / "results.json", results)
