"""How a search gets the scores of its candidates: by training each, or from a supernet that is trained once before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nas.methods.candidates.scorers.base import Scorer
from nas.methods.candidates.scorers.elastic import ElasticScorer, digest_of_weights
from nas.methods.candidates.scorers.training import TrainingScorer
from nas.methods.candidates.training_job import JobMaker
from nas.methods.elastic import pretraining, stored
from nas.methods.elastic.inheritance import Inheritance
from nas.methods.elastic.pretraining import Trained
from nas.methods.elastic.settings import Pretraining
from nas.methods.elastic.stored import SUPERNET
from nas.runs.resuming import go_on
from nas.runs.run import Run
from nas.search.pricing.prices import Prices
from nas.search.setup import SearchSetup
from nas.search.several import together
from nas.terminal.progress import log, phase
from search_spaces.plain_data import identity
from search_spaces.pricing.additive import AdditiveCost

FAR = 4.0  # times the budget, from where the largest network of a supernet is remarked on

FEW_IMAGES = 100  # below, one image is more than a point of accuracy


@dataclass(frozen=True)
class Scoring:
    """`inherit(genotype)`: that network with the supernet's weights; `pretrain_seconds`: what that took; `weights`: a
    digest of them. None: none."""

    scorer: Scorer
    inherit: Inheritance | None = None
    pretrain_seconds: float | None = None
    weights: str | None = None


def scoring_of(run: Run, setup: SearchSetup, prices: Prices) -> Scoring:
    """The scorer that `setup` asks for; an elastic one has its supernet trained first, or what is left of that."""
    problem, settings, seed = setup.problem, setup.candidates, setup.seed
    fingerprint, held_out = problem.data.fingerprint, settings.validation_fraction
    if (images := round(len(problem.data.train) * held_out)) < FEW_IMAGES:
        log(
            f"search.validation_fraction={held_out:g} holds out {images} of {len(problem.data.train)} training images "
            f"to judge candidates: one image is {100 / max(images, 1):.2g} points, so close ones are ranked by chance"
        )
    if not setup.is_elastic:
        space, source, compute = setup.trained_space, problem.source, setup.compute
        job_of = JobMaker(space, source, fingerprint, held_out, seed, compute, setup.teacher, settings.images)
        return Scoring(TrainingScorer(job_of))
    trained = _supernet(run, setup, prices)
    batch_size = int(trained.identity["recipe"]["batch_size"])
    supernet, compute = trained.network, setup.compute
    scorer = ElasticScorer(
        problem.space,
        supernet,
        trained.identity,
        problem.source,
        fingerprint,
        held_out,
        seed,
        batch_size,
        settings.statistics,
        compute,
    )
    inherit = Inheritance(problem.space.decode, supernet, problem.source, batch_size, seed, compute)
    return Scoring(scorer, inherit, trained.seconds, digest_of_weights(supernet))


def far_beyond(settings: Pretraining, cost: AdditiveCost, limit: float) -> str | None:
    """That a supernet trains networks of `FAR` times `limit` and more, and how it need not; None where it does not.

    `cost`: what archs are drawn uniformly in; `limit`: the budget on it, in its unit.
    """
    low, high = cost.reachable()
    largest = low + settings.most * (high - low) if settings.sampling == "latency" else high
    if largest < FAR * limit:
        return None
    most = min((2 * limit - low) / (high - low), 1.0)
    return (
        f"every step trains a network of about {largest / limit:.3g} times the budget; for this budget alone, "
        f"pretraining.most={most:.2g} ends at twice that and takes less time"
    )


def _supernet(run: Run, setup: SearchSetup, prices: Prices) -> Trained:
    """The supernet of the run, trained on all images that do not score; or that of the run that is named."""
    problem, settings = setup.problem, setup.candidates
    archs = problem.space.architectures
    if settings.supernet is not None:
        data = problem.data.held_out(1 - settings.validation_fraction, setup.seed)
        network, known = stored.load(Path(settings.supernet) / SUPERNET, archs)
        asked = {**known, "data": data.train.fingerprint()}
        fix = "give the data, validation fraction and seed of that run, or leave search.supernet out"
        identity.check(f"the supernet of {settings.supernet}", known, asked, fix)
        return Trained(network, 0.0, known)
    assert setup.pretraining is not None
    checkpoint = run.path / SUPERNET
    low, high = archs.count("macs").reachable()
    log(f"elastic supernet: slices of one network, {low:,.0f} to {high:,.0f} multiply-adds, are trained together")
    cost = prices.cost or archs.count("macs")
    name = "macs" if prices.cost is None else "latency_ms"
    limits = [limit.limit for limit in prices.limits if limit.name == name]
    if limits and (said := far_beyond(setup.pretraining, cost, min(limits))):
        log(f"NOTE: {said}")
    done, epochs = stored.finished_epochs(checkpoint), setup.pretraining.recipe.epochs
    go_on(run, "pretrain", done, checkpoint)
    with phase("pretraining the supernet", epochs, "epoch", completed=done) as advance:
        seen = 0.0  # of the present epoch

        def on_share(share: float) -> None:
            nonlocal seen
            advance(share - seen)
            seen = share

        def on_epoch(epoch: int, record: dict[str, float]) -> None:
            nonlocal seen
            run.log("pretrain", epoch, **record)
            ends = (record[f"{end}_top1_percent"] for end in ("largest", "smallest"))
            advance(1 - seen, "largest {:.1f}%, smallest {:.1f}% of the training images".format(*ends))
            seen = 0.0

        work = together.Pretraining(cost, checkpoint)
        together.begin(setup, work)
        return pretraining.pretrain(setup.pretraining, together.reporting(work.task(setup), on_epoch, on_share))
