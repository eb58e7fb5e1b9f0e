"""The quick recipe on random FBNets, with residual blocks that start as the identity and without."""

from __future__ import annotations

import dataclasses
import json
import platform
from pathlib import Path

import torch
import yaml

from nas.data.digits import digits
from nas.files import write_json
from nas.latency.device import cpu_model
from nas.progress import log
from nas.seeding import numpy_generator
from nas.training import build_network, train
from search_spaces.fbnet import fbnet
from search_spaces.recipe import Recipe

RESULTS = Path(__file__).with_name("results.json")
CARD = Path(__file__).parents[2] / "conf" / "recipe" / "quick.yaml"
SEEDS = (0, 1, 2)
THREADS = 1


def quick() -> Recipe:
    values = yaml.safe_load(CARD.read_text())
    values.pop("_target_")
    return Recipe.from_dict(values)


def main() -> None:
    torch.set_num_threads(THREADS)
    recipe, data, space = quick(), digits(16), fbnet(16, 10, 1, width=0.5)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": []}
    results["environment"] = {"cpu": cpu_model(), "threads": THREADS, "torch": torch.__version__.split("+")[0]}
    results["environment"]["python"] = platform.python_version()
    if results.get("recipe", recipe.to_dict()) != recipe.to_dict():
        results["runs"] = []
    results["recipe"] = recipe.to_dict()
    done = {(run["seed"], run["zero_init_residual"]) for run in results["runs"]}
    for seed in SEEDS:
        arch = space.decode(space.sample(1, numpy_generator(seed, "quick_recipe"))[0])
        for zero in (True, False):
            if (seed, zero) in done:
                continue
            chosen = dataclasses.replace(recipe, zero_init_residual=zero)
            figures = train(build_network(arch, chosen, seed=seed), data, chosen, seed=seed)
            run = {"seed": seed, "zero_init_residual": zero, "macs": arch.macs, "params": arch.params, **figures}
            results["runs"].append(run)
            write_json(RESULTS, results)
            log(f"seed {seed}, zero_init_residual {zero}: {figures['top1_percent']:.2f}%")


if __name__ == "__main__":
    main()
