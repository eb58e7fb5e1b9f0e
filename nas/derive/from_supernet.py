"""Other budgets from a search whose candidates inherit: networks with weights, by old scores and new ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.card import DataSource
from nas.derive.request import DerivedNetworks, Ranking, Request, hand_over
from nas.derive.setup import DeriveSetup, ElasticRun
from nas.derive.within_budget import within_budget
from nas.methods.base import CandidateMethod
from nas.methods.candidates.scorers.elastic import ElasticScorer, digest_of_weights, score_inherited
from nas.methods.candidates.training_job import search_recipe
from nas.methods.candidates.trials_file import read_trials
from nas.methods.elastic import stored
from nas.methods.elastic.inheritance import Inheritance
from nas.networks import model_folder
from nas.networks.model_card import About
from nas.networks.network import FlatNetwork, Network
from nas.networks.trained_data import renamed
from nas.terminal.progress import log, phase
from nas.train import training
from nas.train.accelerator import Compute
from nas.train.distillation import Distillation
from nas.train.start.teacher import distillation_of
from search_spaces.plain_data.identity import digest
from search_spaces.pricing.budgets import Feasible, Limit
from search_spaces.space import Genotype
from search_spaces.wrappers.joint import JointSpace
from search_spaces.zoo import FAMILIES

BATCH = 8  # candidates between two looks of the method at the scores
Trained = tuple[Network | FlatNetwork, dict[str, float]]


def derive_inherited(request: Request, method: CandidateMethod, elastic: ElasticRun) -> DerivedNetworks:
    """Write the best networks within the `request`'s budgets with the weights they inherit, and show them.

    The method goes on from the run's scores: its setup's `candidates` more within the new budgets are scored, none is
    trained. Each network gets a folder `model` beside its arch, and its accuracy on the test images; with `epochs` it
    is fine-tuned for so many by the run's recipe, and by its `teacher`, if any. Raises `ValueError` for budgets out of
    reach, and for other images than the supernet was trained on.
    """
    setup, search = request.setup, request.search
    space = search.space
    assert isinstance(space, JointSpace)
    source, compute = DataSource(search.data), Compute()
    told = distillation_of(
        setup.teacher, source.load()
    )  # a teacher that is not there is found before anything is scored
    supernet, trained = stored.load(elastic.supernet, space.architectures)
    stored.check_scores(search.folder, elastic.supernet, digest_of_weights(supernet))
    elastic.check_images(trained, search.seed)
    if note := renamed(search.folder / "checkpoints", elastic.data):
        log(note)
    batch_size = int(trained["recipe"]["batch_size"])
    in_memory = getattr(search.data, "fingerprint", "")
    scorer = ElasticScorer(
        space,
        supernet,
        trained,
        source,
        in_memory,
        elastic.validation_fraction,
        search.seed,
        batch_size,
        elastic.statistics,
        compute,
    )
    scores = _Scores(setup, method, scorer)

    def propose(limit: float, count: int) -> list[Genotype]:
        limits = [
            Limit(known.name, known.cost, limit) if known.name == "latency_ms" else known for known in request.limits
        ]
        return scores.best(Feasible(space, limits), count)

    derived = within_budget(propose, request.clock, request.budgets.latency, setup.count, setup.budget.rounds)
    inherit = Inheritance(space.decode, supernet, source, batch_size, search.seed, compute)
    networks: dict[Genotype, Trained] = {}
    for network in derived.networks:
        networks[network.genotype] = _finished(setup, inherit, network.genotype, request.out / "checkpoints", told)

    def facts(genotype: Genotype) -> dict[str, Any]:
        figures = networks[genotype][1]
        return {
            "score": scores.of[genotype],
            "score_is": "validation accuracy with inherited weights",
            "top1_percent": figures["top1_percent"],
            "top5_percent": figures["top5_percent"],
            "fine_tuned_epochs": setup.epochs,
        }

    found = hand_over(request, derived, Ranking("validation, %", facts, lambda _: search.recipe))
    for i, (network, record) in enumerate(zip(derived.networks, found.records, strict=True), start=1):
        built, _ = networks[network.genotype]
        origin = f"Found in the {space.name} space; weights of an elastic supernet"
        tuned = f", fine-tuned for {setup.epochs} epochs" if setup.epochs else ""
        tuned += f" to {setup.teacher.sentence}" if setup.teacher else ""
        about = About(
            data=source.at(built.arch.resolution),
            metrics=record,
            recipe=search.recipe,
            family=space.name if space.name in FAMILIES else None,
            origin=f"{origin}{tuned}.",
        )
        folder = model_folder.write(request.out / f"model{_suffix(i)}", built.cpu(), about)
        log(f"{folder}: {record['top1_percent']:.2f}% top-1 on the test images")
    return found


class _Scores:
    """The validation accuracies of a run's candidates, and of those that are scored besides; `of`: by genotype."""

    def __init__(self, setup: DeriveSetup, method: CandidateMethod, scorer: ElasticScorer) -> None:
        self.setup, self.method, self.scorer = setup, method, scorer
        genotypes, scores = read_trials(setup.search.folder, scorer.space)
        known = zip(genotypes.tolist(), scores.tolist(), strict=True)
        self.of: dict[Genotype, float] = {tuple(genotype): score for genotype, score in known}

    def best(self, feasible: Feasible, count: int) -> list[Genotype]:
        """The `count` best within the limits of `feasible`, of those that are scored and of `setup.candidates` new."""
        proposal = self.method.start(feasible, self.setup.search.seed)
        proposal.tell(np.array(list(self.of), dtype=np.int64), list(self.of.values()))
        wanted = max(self.setup.candidates, count - int(self._within(feasible).sum()))
        with phase("scoring candidates", wanted, "candidate") as advance:
            while wanted > 0:
                batch = min(wanted, BATCH)
                alike = len(set(filter(np.isfinite, self.of.values()))) < 2  # a predictor has nothing to learn from
                by_prediction = proposal.has_finalists and not alike
                asked = proposal.finalists(batch) if by_prediction else proposal.ask(batch)
                new = [tuple(genotype) for genotype in asked.tolist()]
                new = [genotype for genotype in new if genotype not in self.of]
                if not new:
                    break
                for genotype in new:
                    self.of[genotype] = self._score(genotype, advance)
                proposal.tell(np.array(new, dtype=np.int64), [self.of[genotype] for genotype in new])
                wanted -= len(new)
        genotypes, scores = np.array(list(self.of), dtype=np.int64), np.array(list(self.of.values()))
        within = np.flatnonzero(self._within(feasible))
        order = within[feasible.best_first(genotypes[within], scores[within])][:count]
        return [tuple(genotype) for genotype in genotypes[order].tolist()]

    def _within(self, feasible: Feasible) -> np.ndarray:
        return feasible.mask(np.array(list(self.of), dtype=np.int64)) & np.isfinite(list(self.of.values()))

    def _score(self, genotype: Genotype, advance: Callable[..., None]) -> float:
        score = float(score_inherited(self.scorer.job("", genotype))["top1_percent"])
        advance(1, f"{score:.2f}% of the validation images")
        return score


def _suffix(number: int) -> str:
    return "" if number == 1 else f"-{number}"


def _finished(
    setup: DeriveSetup, inherit: Inheritance, genotype: Genotype, checkpoints: Path, told: Distillation | None
) -> Trained:
    """The network of `genotype` and its figures on the test images, fine-tuned where that is asked for."""
    network, search = inherit(genotype), setup.search
    data = inherit.source.at(network.arch.resolution)
    if not setup.epochs:
        return network, training.evaluate(network, data.test)
    assert search.recipe is not None
    recipe = search_recipe(search.recipe, setup.epochs, "train.epochs")
    accelerator = inherit.compute.here
    # another fine-tuning into the same folder has a checkpoint of its own
    which = digest([network.arch.id, recipe.to_dict(), None if told is None else told.identity()])
    checkpoint = checkpoints / f"train-{which[:12]}.pt"
    with phase("fine-tuning", setup.epochs * training.steps_per_epoch(data, recipe), "step") as advance:
        options = training.Options(checkpoint=checkpoint, on_step=advance, distillation=told)
        figures = training.train(network, data, recipe, seed=search.seed, accelerator=accelerator, options=options)
    return network, figures
