"""Could a contest choose better with what its search already knows? (see README.md)"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from experiments import records
from experiments.equal_latency import mean_interval
from experiments.search_small_budgets.methods import methods
from experiments.search_small_budgets.problems import Problem, problems, table_options
from nas.methods.base import CandidateMethod
from nas.methods.predictor import PredictorProposal
from search_spaces.pricing.additive import Floats
from search_spaces.wrappers.listed import ListedFeasible

HERE = Path(__file__).parent
CANDIDATES, FINALISTS, CONTESTANTS = 32, 4, 6
NOISES = (0.5, 1.0)  # deviations of a candidate's score, in units of `unit`
LESS = 0.7  # a contest's deviation, as a share of a candidate's: its trainings are longer
FIELDS = ("scores", "predictions")  # by which the contestants are chosen
DECISIONS = ("first", "contest", "contest and scores", "contest and predictions", "predictor of both", "best of them")


def unit(truth: Floats) -> float:
    """How far the best hundredth of a table is from its best tenth."""
    tenth, hundredth = np.nanquantile(truth, [0.9, 0.99])
    return float(hundredth - tenth)


def searched(problem: Problem, scores: Floats, seed: int) -> PredictorProposal:
    """The default search by predictor, which is told these noisy `scores`, and its finalists."""
    table = problem.table
    method, _ = methods(False)["predictor, expected improvement after 6"]
    assert isinstance(method, CandidateMethod)
    proposal = method.start(ListedFeasible(table.space, table.costs, problem.limits), seed)
    assert isinstance(proposal, PredictorProposal)
    while len(proposal.told) < CANDIDATES:
        proposal.ask(1)
        asked = proposal.pending[:1]
        proposal.tell(asked, scores[table.space.index(asked)])
    for row in proposal.finalists(FINALISTS):
        proposal.tell(row[None], scores[table.space.index(row[None])])
    return proposal


def regrets(problem: Problem, noise: float, seed: int) -> dict[str, float]:
    """By field and decision, how far the network that is handed over lies below the best, in units of `unit`."""
    truth, rng = problem.table.scores, np.random.default_rng(1000 * seed + int(10 * noise))
    scale = unit(truth)
    deviation = noise * scale
    proposal = searched(problem, truth + rng.normal(0, deviation, len(truth)), seed)
    rows, scores = problem.table.space.index(proposal.told), proposal.scores
    predictor = proposal.fitted()
    predicted, spread = predictor.predict(proposal.told)
    contest = truth[rows] + rng.normal(0, LESS * deviation, len(rows))
    found = {}
    for field, worth in zip(FIELDS, (scores, predicted), strict=True):
        best = np.argsort(-worth, kind="stable")[:CONTESTANTS]
        predictor.fit(np.concatenate([proposal.told, proposal.told[best]]), np.concatenate([scores, contest[best]]))
        judged = (
            -np.arange(len(best)),
            contest[best],
            weighted(contest[best], LESS * deviation, scores[best], deviation),
            weighted(contest[best], LESS * deviation, predicted[best], spread[best]),
            predictor.predict(proposal.told[best])[0],
            truth[rows[best]],
        )
        for decision, value in zip(DECISIONS, judged, strict=True):
            found[f"{field}: {decision}"] = float(np.nanmax(truth) - truth[rows[best[np.argmax(value)]]]) / scale
        predictor.fit(proposal.told, scores)
    return found


def weighted(one: Floats, its_deviation: Floats | float, other: Floats, others: Floats | float) -> Floats:
    """The mean of both, each by its precision."""
    return (one / np.square(its_deviation) + other / np.square(others)) / (
        1 / np.square(its_deviation) + 1 / np.square(others)
    )


def report(file: Path) -> None:
    """Mean regrets, and what each decision gains over the contest of those with the best scores."""
    found = records.read(file)
    for noise in NOISES:
        mine = [r["regret"] for r in found if r["noise"] == noise]
        usual = [regret[f"{FIELDS[0]}: contest"] for regret in mine]
        print(f"\nnoise {noise}, {len(mine)} searches\n\n| contestants by | decided by | regret | less the usual |")
        print("| --- | --- | --- | --- |")
        for name in mine[0]:
            here = [regret[name] for regret in mine]
            mean, half = mean_interval([a - b for a, b in zip(here, usual, strict=True)])
            field, decision = name.split(": ")
            print(f"| {field} | {decision} | {np.mean(here):.3f} | {mean:+.3f} ± {half:.3f} |")


def main() -> None:
    options = table_options(argparse.ArgumentParser(description=__doc__), HERE, seeds=24)
    if options.report:
        report(options.out)
        return
    found = records.finished(options.out)
    made = {name: load() for name, load in problems(options.data).items() if "half" not in name}
    for seed in range(options.seeds):
        for name, problem in made.items():
            for noise in NOISES:
                if any((r["problem"], r["noise"], r["seed"]) == (name, noise, seed) for r in found):
                    continue
                regret = regrets(problem, noise, seed)
                found.append({"problem": name, "noise": noise, "seed": seed, "regret": regret})
                records.write(options.out, found)
    report(options.out)


if __name__ == "__main__":
    main()
