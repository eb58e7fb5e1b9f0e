"""Seconds of a 50,000-evaluation evolution on a predictor, under one latency budget and under eight at once."""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from nas.methods.evolution import Evolution
from nas.methods.predictor import PredictorProposal, PredictorSearch
from nas.runs.files import write_json
from nas.runs.machine import cpu_model
from predictors.baselines import GaussianProcess, RandomForest
from predictors.process import StructuredProcess
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.pricing.budgets import Feasible, Limit
from search_spaces.recipe import Recipe
from search_spaces.recipe_space import recipe_space
from search_spaces.wrappers.joint import JointSpace

HERE = Path(__file__).parent
EVALUATIONS, TRAINED, REPEATS = 50_000, 200, 3
PREDICTORS = {
    "random forest": RandomForest(),
    "gaussian process": GaussianProcess(restarts=0),
    "structured process": StructuredProcess(),
}


def problem() -> tuple[JointSpace, Any]:
    """FBNetV3's archs at 224 pixels times its recipes, and a stand-in for a latency table: random times per row."""
    base = Recipe(epochs=150, batch_size=2048, lr=0.02, optimizer="rmsproptf")
    recipes = recipe_space(
        base,
        lr={"low": 0.020, "high": 0.030, "step": 0.001},
        optimizer=["rmsproptf", "sgd"],
        drop_path_rate={"low": 0.01, "high": 0.31, "step": 0.01},
        mixup={"low": 0.0, "high": 0.41, "step": 0.01},
    )
    space = JointSpace(fbnetv3(), recipes)
    rng = np.random.default_rng(0)
    return space, space.cost(lambda layer, shape: 1e-6 * layer.cost(shape).macs ** 0.9 * rng.uniform(0.7, 1.3))


def run() -> dict[str, Any]:
    space, latency = problem()
    low, high = latency.reachable()
    rng = np.random.default_rng(1)
    told = space.sample(TRAINED, rng)
    weights = rng.normal(size=told.shape[1]) / space.cardinalities
    scores = 70 + told @ weights + 2 * np.log(latency(told)) + rng.normal(0, 0.1, TRAINED)
    found: dict[str, Any] = {}
    for name, predictor in PREDICTORS.items():
        for budgets in (1, 8):
            maxima = low + np.linspace(0.1, 0.6, budgets)[:, None] * (high - low)
            feasible = Feasible(space, [Limit("latency_ms", latency, float(maxima.max()))])
            card = PredictorSearch(
                predictor=predictor,
                initial=16,
                pool_size=1024,
                exploration=1.0,
                diversity=1.0,
                acquisition_evaluations=4000,
                evolution=Evolution(evaluations=EVALUATIONS, patience=10**6),
            )
            seconds, evaluations = [], 0
            for repeat in range(REPEATS):
                proposal = PredictorProposal(feasible, repeat, card, None)
                proposal.tell(told, scores)
                fitted = proposal.fitted()
                proposal.fitted = lambda fitted=fitted: fitted  # type: ignore[method-assign,misc]
                began = time.perf_counter()
                front = proposal.front(maxima)
                seconds.append(time.perf_counter() - began)
                evaluations = front.evaluations
                for rows, limit in zip(front.genotypes, maxima[:, 0], strict=True):
                    if not (latency(rows) <= limit).all():
                        raise RuntimeError("a found network exceeds its budget")
            figures = {"median": float(np.median(seconds)), "min": min(seconds), "max": max(seconds)}
            found[f"{name}, {budgets} budget{'s' if budgets > 1 else ''}"] = {"seconds": figures, "scored": evaluations}
            print(f"{name:20} {budgets} budgets: {figures['median']:.2f} s ({evaluations} scored)", flush=True)
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "genes": len(space.variables),
        "figures": found,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true", help="overwrite results.json beside this script")
    results = run()
    if parser.parse_args().save:
        write_json(HERE / "results.json", results)
