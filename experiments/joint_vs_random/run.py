"""Joint predictor search, architecture-only search and random search: equal trainings, equal budget (see README.md)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from experiments import equal_latency, records
from experiments.collecting import collect_or_report, measured_table
from experiments.equal_latency import mean_interval
from experiments.records import Results
from nas.data.card import data_of
from nas.derive.budget import BudgetRequest, resolve_budget
from nas.latency.device import Device
from nas.latency.measuring.networks import measure_networks
from nas.latency.tables.table import LatencyTable
from nas.methods.candidates.executors.local import LocalExecutor
from nas.methods.candidates.loop import CandidateSearch, search_candidates
from nas.methods.candidates.scorers.training import TrainingScorer
from nas.methods.candidates.settings import CandidateSettings
from nas.methods.candidates.training_job import TrainingJob
from nas.runs.run import Run
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import card_values
from nas.train import training
from nas.train.accelerator import make_accelerator
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.pricing.budgets import Feasible, Limit
from search_spaces.recipe import Recipe
from search_spaces.recipe_space import recipe_space
from search_spaces.space import Genotype, SearchSpace
from search_spaces.wrappers.joint import JointSpace

RESOLUTION = 16


@dataclasses.dataclass(frozen=True)
class Images:
    """How many a search sees, the share that it scores by, and what its network then trains on and is tested by."""

    search: int
    held_out: float
    train: int
    test: int


SMALL = Images(search=1600, held_out=0.625, train=1000, test=5000)
IMAGES = {1000: SMALL, 10_000: Images(search=10_000, held_out=0.2, train=10_000, test=10_000)}
TRAININGS, FINALISTS = 24, 4  # candidate trainings of a search, the finalists among them
FRACTION = 0.3  # of the reachable latency range
RECIPE = dataclasses.replace(equal_latency.RECIPE, epochs=3, warmup_epochs=0.5)
FINAL_EPOCHS = 6
METHODS = ("joint", "architecture", "random")


def architectures() -> SearchSpace:
    """FBNetV3's space, narrow and shallow enough for trainings of seconds."""
    return fbnetv3(RESOLUTION, 10, 1, width=0.25, depth=0.25, head_channels=256)


def space_of(method: str, base: Recipe = RECIPE) -> JointSpace:
    """What `method` searches: archs with recipes, or archs alone; `base` gives what is not searched."""
    grids = {} if method == "architecture" else card_values("recipe_space/small_images")
    grids.pop("_target_", None)
    return JointSpace(architectures(), recipe_space(base, **grids))


def method_of(method: str) -> Any:
    """The search method: random search, or the predictor card with a smaller first batch."""
    if method == "random":
        return cards.build(card_values("method/random"), "method", {})
    card = card_values("method/predictor") | {"predictor": card_values("predictor/process"), "initial": 8}
    return cards.build(card, "method", {})


def image_card(root: str, train: int, test: int) -> dict[str, Any]:
    return {
        "_target_": "nas.data.arrays.npz",
        "root": root,
        "resolution": RESOLUTION,
        "train_limit": train,
        "test_limit": test,
    }


def settings_of(method: str, of: Images = SMALL) -> CandidateSettings:
    """`TRAININGS` trainings in rounds of 4; random search has no predictor that could name finalists."""
    finalists = 0 if method == "random" else FINALISTS
    return CandidateSettings(TRAININGS, 4, finalists, None, of.held_out, 1, None, None)


def search(
    root: str,
    folder: Path,
    table: LatencyTable,
    method: str,
    seed: int,
    settings: CandidateSettings,
    base: Recipe = RECIPE,
    of: Images = SMALL,
) -> dict[str, Any]:
    """The best trained candidate by validation accuracy; the test images are not looked at. `folder`: the run's."""
    space = space_of(method, base)
    cost = table.cost(space)
    budget = resolve_budget(cost, BudgetRequest(), FRACTION, table.margin)
    assert budget is not None
    card = image_card(root, of.search, of.test)
    fingerprint = data_of(card).fingerprint

    def job_of(candidate: str, genotype: Genotype) -> TrainingJob:
        arch, recipe = space.decode(genotype).to_dict(), space.recipe(genotype).to_dict()
        return TrainingJob(
            arch=arch,
            recipe=recipe,
            data=card,
            fingerprint=fingerprint,
            validation_fraction=of.held_out,
            seed=seed,
            candidate=candidate,
            accelerator="cpu",
            precision="no",
        )

    trainings = settings.trials
    new = not (folder / "config.yaml").exists()
    with Run.open(str(folder) if new else None, None if new else str(folder), method, {"method": method}) as run:
        feasible = Feasible(space, [Limit("latency_ms", cost, budget.limit_ms)])
        search = CandidateSearch(
            method_of(method), feasible, TrainingScorer(job_of), LocalExecutor(workers=1), settings, seed
        )
        found = search_candidates(run, search)
    genotype = found.genotypes[0]
    return {
        "kind": "search",
        "method": method,
        "seed": seed,
        "trainings": trainings,
        "genotype": genotype.tolist(),
        "recipe": space.recipe(genotype).to_dict(),
        "validation_top1_percent": float(found.scores[0]),
        "failed": trainings - len(found.scores),
        "asked_latency_ms": budget.asked_ms,
        "limit_latency_ms": budget.limit_ms,
        "estimated_latency_ms": float(cost(genotype[None])[0]),
        "measured_latency_ms": measure_networks([space.decode(genotype)], Device(), seed=seed)[0].latency_ms,
        "macs": space.decode(genotype).macs,
        "params": space.decode(genotype).params,
        "search_seconds": found.seconds,
    }


def final(root: str, found: dict[str, Any], own: bool, of: Images = SMALL) -> dict[str, Any]:
    """The network found, trained anew with its own or the common recipe, on the test images."""
    arch = space_of(found["method"]).decode(found["genotype"])
    recipe = Recipe.from_dict(found["recipe"]) if own else RECIPE
    recipe = dataclasses.replace(recipe, epochs=FINAL_EPOCHS, warmup_epochs=1.0)
    network = training.build_network(arch, recipe, seed=found["seed"])
    data = data_of(image_card(root, of.train, of.test))
    figures = training.train(network, data, recipe, seed=found["seed"], accelerator=make_accelerator("cpu"))
    names = {"kind": "final", "method": found["method"], "seed": found["seed"], "recipe": "own" if own else "common"}
    return {**names, "top1_percent": figures["top1_percent"], "train_seconds": figures["train_seconds"]}


def collect(root: str, out: Path, images: int, seeds: str) -> None:
    """Run what is missing; every finished piece is a line of `results.jsonl`, so an interrupted run continues."""
    if images not in IMAGES:
        raise SystemExit(f"--images must be one of {', '.join(map(str, IMAGES))}, got {images}")
    of, results = IMAGES[images], Results(out / "results.jsonl")
    table = measured_table(architectures(), Device(), out)

    for seed in map(int, seeds.split(",")):
        for method in METHODS:
            mine = [r for r in results.found if (r["method"], r["seed"]) == (method, seed)]
            searched = [r for r in mine if r["kind"] == "search"]
            if searched:
                found = searched[0]
            else:
                folder = out / f"{method}-{seed}"
                found = results.add(search(root, folder, table, method, seed, settings_of(method, of), of=of))
            finals = {r["recipe"]: r for r in mine if r["kind"] == "final"}
            for recipe in ("own", "common"):
                if recipe in finals:
                    continue
                if method == "architecture" and finals:  # its own recipe is the common one
                    results.add({**finals["own"], "recipe": recipe})
                else:
                    finals[recipe] = results.add(final(root, found, recipe == "own", of))


def report(file: Path) -> None:
    """Print the table of `results.jsonl`, and the methods' differences to random search, paired by seed."""
    finished = records.read(file)
    begun = sorted({r["seed"] for r in finished})
    seeds = [s for s in begun if sum(r["kind"] == "final" and r["seed"] == s for r in finished) == 2 * len(METHODS)]
    top1 = {(r["method"], r["recipe"], r["seed"]): r["top1_percent"] for r in finished if r["kind"] == "final"}
    print(
        "| search | validation % | test %, own recipe | test %, common recipe | estimated ms | measured ms | MACs (M) |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for method in METHODS:
        found = [r for r in finished if r["kind"] == "search" and r["method"] == method and r["seed"] in seeds]
        finals = [np.array([top1[method, recipe, seed] for seed in seeds]) for recipe in ("own", "common")]
        cells = [
            f"{values.mean():.2f} ({', '.join(f'{v:.2f}' for v in values)})"
            for values in (np.array([r["validation_top1_percent"] for r in found]), *finals)
        ]
        means = [np.mean([r[key] for r in found]) for key in ("estimated_latency_ms", "measured_latency_ms", "macs")]
        print(f"| {method} | {' | '.join(cells)} | {means[0]:.3f} | {means[1]:.3f} | {means[2] / 1e6:.2f} |")
    if len(seeds) < 2:
        print(f"{len(seeds)} of {len(begun)} seeds are finished: no spread yet")
        return
    for method in METHODS[:2]:
        for recipe in ("own", "common"):
            mean, half = mean_interval([top1[method, recipe, s] - top1["random", recipe, s] for s in seeds])
            print(
                f"{method} minus random, {recipe} recipe: {mean:+.2f} ± {half:.2f} (95% t-interval, {len(seeds)} seeds)"
            )


if __name__ == "__main__":
    collect_or_report(
        __doc__,
        "runs/joint_vs_random",
        collect,
        report,
        images=(
            1000,
            f"that found networks train on, one of {', '.join(map(str, IMAGES))}; another wants another --out",
        ),
        seeds=("0,1,2", "searches of each method"),
    )
