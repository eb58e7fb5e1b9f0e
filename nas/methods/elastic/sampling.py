"""Which archs a step of an elastic supernet trains."""

from __future__ import annotations

import numpy as np

from nas.methods.elastic.settings import Sampling
from nas.runs.seeding import numpy_generator
from search_spaces.arch import Arch
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.space import Genotype, Population, SearchSpace

POOL = 6144  # genotypes an epoch draws from
RATES = 16  # between the ends of the space and its middle
NEAREST = 16  # genotypes about a drawn cost that are one cost


class ArchSampler:
    """Archs of `space`, uniformly in `cost` between shares `least` and `most` of its range, or uniformly in genes.

    Independent choices have costs around the middle: of a space of 20 blocks, uniform genes hardly ever give an arch of
    the cheapest tenth of the range, where budgets lie. So every epoch prices a pool that reaches from end to end (both
    ends of the space with ever more of their choices redrawn, and uniform genotypes), draws a cost, and takes one of
    the `NEAREST` genotypes to it.

    `smallest` and `largest` are the ends of the space by multiply-adds; where the range ends before the space does, of
    the `NEAREST` genotypes inside that end the one of fewest or most multiply-adds, so that no step trains a network
    beyond the range.
    """

    def __init__(
        self, space: SearchSpace, cost: AdditiveCost, sampling: Sampling, least: float, most: float, seed: int
    ) -> None:
        self.space, self.cost, self.sampling, self.seed = space, cost, sampling, seed
        low, high = cost.reachable()
        self.low, self.high = low + least * (high - low), low + most * (high - low)
        self._epoch = -1
        self._pool: Population = np.empty((0, len(space.variables)), dtype=np.int64)
        self._costs = np.empty(0)
        inside = (sampling == "latency" and least > 0, sampling == "latency" and most < 1)
        self.smallest = space.decode(self._smallest(inside[0]))
        self.largest = space.decode(self._largest(inside[1]))
        self._inside = inside

    @property
    def own_ends(self) -> dict[str, str]:
        """Ids of those ends that are not the space's: what the range, the cost and the seed make of them."""
        ends = {"smallest": self.smallest, "largest": self.largest}
        return {name: arch.id for (name, arch), own in zip(ends.items(), self._inside, strict=True) if own}

    def _smallest(self, within: bool) -> Genotype:
        """Of the space; `within`: of the range."""
        macs = self.space.count("macs")
        if not within:
            return macs.cheapest()
        self._begin(0)
        at = int(np.searchsorted(self._costs, self.low))  # the pool has both ends of the space: there are some
        near = self._pool[at : at + NEAREST]
        return tuple(near[int(np.argmin(macs(near)))].tolist())

    def _largest(self, within: bool) -> Genotype:
        """Of the space; `within`: of the range."""
        macs = self.space.count("macs")
        if not within:
            return macs.most_expensive()
        self._begin(0)
        at = int(np.searchsorted(self._costs, self.high, side="right"))
        near = self._pool[max(at - NEAREST, 0) : at]
        return tuple(near[int(np.argmax(macs(near)))].tolist())

    def draw(self, epoch: int, step: int, count: int, of: int = 1) -> list[list[Arch]]:
        """`count` times `of` archs of one cost, a function of seed, epoch and step."""
        rng = numpy_generator(self.seed, "archs", epoch, step)
        if self.sampling == "genes":
            rows = self.space.sample(count * of, rng).reshape(count, of, -1)
        else:
            rows = self._near(epoch, rng.uniform(self.low, self.high, count), of, rng)
        return [[self.space.decode(genes) for genes in group.tolist()] for group in rows]

    def _near(self, epoch: int, targets: np.ndarray, of: int, rng: np.random.Generator) -> np.ndarray:
        """(targets, of, genes): genotypes of about each target."""
        self._begin(epoch)
        width = max(min(NEAREST, len(self._pool)), 1)
        found = []
        for target in targets:
            at = int(np.searchsorted(self._costs, target))
            window = np.arange(max(at - width, 0), min(at + width, len(self._pool)))
            nearest = window[np.argsort(np.abs(self._costs[window] - target), kind="stable")[:width]]
            found.append(self._pool[rng.choice(nearest, of, replace=of > len(nearest))])
        return np.array(found).reshape(len(targets), of, self._pool.shape[1])

    def _begin(self, epoch: int) -> None:
        """Draw and price the pool of `epoch`."""
        if epoch == self._epoch:
            return
        rng = numpy_generator(self.seed, "pool", epoch)
        ends: list[Genotype] = [self.cost.cheapest(), self.cost.most_expensive()]
        parts = [np.array(ends), self.space.sample(POOL // 3, rng)]
        for end in ends:
            for rate in np.linspace(0, 1, RATES + 1)[1:]:
                near = np.tile(np.array(end, dtype=np.int64), (POOL // 3 // RATES, 1))
                parts.append(self.space.mutate(near, rng, float(rate)))
        pool = np.unique(np.concatenate(parts), axis=0)
        costs = self.cost(pool)
        order = np.argsort(costs, kind="stable")
        self._pool, self._costs, self._epoch = pool[order], costs[order], epoch
