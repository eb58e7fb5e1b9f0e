"""Architecture and recipe ranked together: predictors on NAS-HPO-Bench's fully connected networks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from experiments.predictor_ranking.judge import Contestant, judge
from experiments.predictor_ranking.tables import Table, seed_ceiling
from nas.runs.files import write_json
from nas.runs.seeding import numpy_generator
from predictors.baselines import RandomForest, Ridge
from predictors.blend import Blend
from predictors.fbnetv3 import FBNetV3
from predictors.metrics import kendall_tau
from predictors.process import StructuredProcess
from search_spaces.space import Variable

HERE = Path(__file__).parent
DATASETS = {"protein": ("protein_structure", 9), "slice": ("slice_localization", 385)}  # name in the file, input width
OTHERS = {"naval": ("naval_propulsion", 15), "parkinsons": ("parkinsons_telemonitoring", 20)}
ARCHITECTURE = ("n_units_1", "n_units_2", "activation_fn_1", "activation_fn_2")
RECIPE = ("batch_size", "init_lr", "lr_schedule", "dropout_1", "dropout_2")
SIZES = (20, 50, 100, 200)
RECIPE_PAIRS = 500


def load(path: Path, dataset: str) -> Table:
    """62,208 configurations; target -log(validation MSE, mean of four seeds)."""
    name, inputs = (DATASETS | OTHERS)[dataset]
    with np.load(path, allow_pickle=False) as data:
        choices, columns = json.loads(str(data["choices"])), list(data["names"])
        config = data["config"].astype(np.int64)
        mse = data["valid_mse"][list(data["datasets"]).index(name)].astype(np.float64)

    def variables(names: tuple[str, ...]) -> tuple[Variable, ...]:
        return tuple(Variable(n, tuple(choices[n]), ordered=not isinstance(choices[n][0], str)) for n in names)

    population = config[:, [columns.index(n) for n in (*ARCHITECTURE, *RECIPE)]]
    first, second = (np.array(choices[n])[population[:, i]] for i, n in enumerate(ARCHITECTURE[:2]))
    macs = inputs * first + first * second + second
    return Table(
        dataset,
        variables(ARCHITECTURE),
        variables(RECIPE),
        population,
        -np.log(mse.mean(axis=1)),
        {"macs": macs.astype(float), "params": (macs + first + second + 1).astype(float)},
        seed_ceiling(-mse),
    )


def recipe_matters(table: Table) -> dict[str, Any]:
    """Shares of the targets' variance, and how architecture rankings under two random recipes agree (Kendall's tau).

    The shares are main effects: the variance of the mean over everything else, over the whole (Sobol's first order;
    the table is a full grid).
    """
    genes = len(table.variables)
    _, architecture = np.unique(table.population[:, :genes], axis=0, return_inverse=True)
    _, recipe = np.unique(table.population[:, genes:], axis=0, return_inverse=True)
    grid = np.empty((architecture.max() + 1, recipe.max() + 1))
    grid[architecture, recipe] = table.targets
    rng = numpy_generator(0, "recipe pairs")
    pairs = [rng.choice(grid.shape[1], 2, replace=False) for _ in range(RECIPE_PAIRS)]
    taus = np.array([kendall_tau(grid[:, a], grid[:, b]) for a, b in pairs])
    best = grid.argmax(axis=0)
    return {
        "variance_share_architecture": float(grid.mean(axis=1).var() / grid.var()),
        "variance_share_recipe": float(grid.mean(axis=0).var() / grid.var()),
        "architecture_tau_under_two_recipes": {
            "median": float(np.median(taus)),
            "p10": float(np.quantile(taus, 0.1)),
            "p90": float(np.quantile(taus, 0.9)),
        },
        # the architecture that is best under a random recipe, trained with the recipe best for it, against the best
        "regret_of_searching_under_one_recipe": float((grid.max() - grid[best].max(axis=1)).mean()),
        "regret_of_one_architecture_with_its_best_recipe": float((grid.max() - grid.max(axis=1)).mean()),
        "regret_of_one_recipe_with_its_best_architecture": float((grid.max() - grid.max(axis=0)).mean()),
    }


def contestants(table: Table) -> dict[str, Contestant]:
    every = tuple(table.statistics)
    whole = FBNetV3(pretraining=None, frozen_steps=0, tuned_steps=300, tuned_lr=3e-3)
    return {
        "random forest": Contestant(RandomForest(trees=100)),
        "blend": Contestant(Blend(), every),
        "structured process": Contestant(StructuredProcess()),
        "fbnetv3, no pre-training, everything trained at once": Contestant(whole),
        "fbnetv3, pre-trained on MACs and parameters": Contestant(FBNetV3(), every),
        "ridge": Contestant(Ridge()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=sorted(DATASETS))
    parser.add_argument("--data", type=Path, required=True, help="fcnet_joint_hpolib.npz")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", nargs="*", help="contestants to run; default all that are not in the results yet")
    arguments = parser.parse_args()
    table = load(arguments.data, arguments.dataset)
    write_json(HERE / f"recipe-{arguments.dataset}.json", recipe_matters(table))
    path = HERE / f"results-{arguments.dataset}.json"
    judge(table, contestants(table), SIZES, arguments.seeds, path, arguments.only)


if __name__ == "__main__":
    main()
