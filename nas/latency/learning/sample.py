"""Whole networks that calibrate and prove a table: random, but spread over the range of the space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.runs.seeding import numpy_generator
from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.space import Genotype, SearchSpace

POOL = 512
MAX_TILT = 4.0


def spread_networks(space: SearchSpace, count: int, seed: int, stream: str) -> list[tuple[Genotype, Arch]]:
    """`count` distinct networks of `space`, half drawn uniformly, half leaning to cheap or to expensive choices.

    Uniform draws of a many-layer space all cost about the same, and a table proven there says nothing of the ends where
    searches go. A leaning network draws each choice with probability proportional to `exp(lean * effect)`, `effect` in
    [-1/2, 1/2] being the choice's cost among its alternatives and `lean` uniform in [-4, 4]. The draw depends on
    `space`, `seed` and `stream` only, so that an interrupted build draws the same networks again.
    """
    effects = _effects(space, numpy_generator(seed, "networks", "pool"))
    found: dict[Genotype, Arch] = {}
    for i in range(20 * count):
        if len(found) == count:
            break
        rng = numpy_generator(seed, "networks", stream, i)
        lean = rng.uniform(-MAX_TILT, MAX_TILT) if i % 2 else 0.0
        genes = []
        for effect in effects:
            weights = np.exp(lean * effect)
            genes.append(int(rng.choice(len(effect), p=weights / weights.sum())))
        arch = space.decode(genes)
        found.setdefault(space.encode(arch), arch)
    return list(found.items())


def _effects(space: SearchSpace, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Mean cost of networks that hold each choice of each variable, scaled to [-1/2, 1/2] per variable."""
    population = space.sample(POOL, rng)
    known: dict[tuple[Layer, Shape], float] = {}
    costs = np.array([_cost(space.decode(genotype), known) for genotype in population.tolist()])
    effects = []
    for i, size in enumerate(space.cardinalities):
        means = np.array(
            [
                costs[population[:, i] == c].mean() if (population[:, i] == c).any() else costs.mean()
                for c in range(size)
            ]
        )
        span = np.ptp(means)
        effects.append((means - means.min()) / span - 0.5 if span > 0 else np.zeros(size))
    return effects


def _cost(arch: Arch, known: dict[tuple[Layer, Shape], float]) -> float:
    """A stand-in for latency: multiply-adds, and what moving activations costs beside them; `known` is its memory."""
    total = 0.0
    for step in arch.walk():
        if step not in known:
            layer, shape = step
            cost = layer.cost(shape)
            known[step] = cost.macs + 30.0 * cost.activations
        total += known[step]
    return total
