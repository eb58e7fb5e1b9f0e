"""Times of whole networks as work times rates, for spaces whose choices are widths, depths or resolutions.

Where a gene changes many layers at once no table of "this choice at this place" can be learned, but every network is
still a walk over layers at inputs of known size:

    time(arch) = fixed + sum over (layer, input shape) of arch.walk() of sum_k rate_k * work_k(layer, shape)

with rates that are not negative. So resolution, widths and depths enter by what they change, and every (layer, input
shape) of the space gets a time, also at resolutions of which no network was timed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nas.latency.tables.row import Row, grain
from nas.latency.tables.table import all_entries
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.pricing.additive import AdditiveCost, Floats
from search_spaces.space import Population, SearchSpace

Price = Callable[[Layer, Shape], float]
NOISES = (0.003, 0.01, 0.03, 0.1, 0.3)  # half decades of relative error, from the best timings to the worst
FOLDS = 20  # so many parts of the networks are left out in turn; of fewer networks each by itself
KINDS = (
    "multiply-adds of 1x1 convolutions", "of 3x3 depthwise ones", "of larger depthwise ones", "of all others",
    "output elements", "output elements of grouped convolutions", "parameters", "convolutions", "layers",
)  # fmt: skip


def layer_work(layer: Layer, shape: Shape) -> Floats:
    """What `layer` has to do at `shape`, by `KINDS`: (kinds,); zeros where nothing is executed."""
    done = np.zeros(len(KINDS))
    if layer.table_row(shape) is None:
        return done
    done[8] = 1
    for conv in layer.convs(shape):
        depthwise = conv.groups == conv.in_channels and conv.groups > 1
        kind = (1 if conv.taps <= 9 else 2) if depthwise else (0 if conv.taps == 1 else 3)
        done[kind] += conv.macs
        done[4] += conv.activations
        done[5] += conv.activations if conv.groups > 1 and not depthwise else 0
        done[6] += conv.params
        done[7] += 1
    return done


@dataclass(frozen=True)
class Work:
    """What time may follow: `prices` of a layer at an input, and `costs`, the sums of each over a genotype's layers."""

    prices: tuple[Price, ...]
    costs: tuple[AdditiveCost, ...]

    @staticmethod
    def of(space: SearchSpace, sources: Sequence[Price] = ()) -> Work:
        """The kinds of work of `space` that it has at all, then `sources`: what other devices take for a layer, ms.

        Raises `ValueError` for a space without layers.
        """
        if not space.terms:
            raise ValueError(f"{space.name} has no layers that take time; a table needs a space of networks")
        known: dict[tuple[Layer, Shape], Floats] = {}

        def kind(index: int) -> Price:
            def price(layer: Layer, shape: Shape) -> float:
                if (layer, shape) not in known:
                    known[layer, shape] = layer_work(layer, shape)
                return float(known[layer, shape][index])

            return price

        prices = (*map(kind, range(len(KINDS))), *sources)
        return Work(prices, tuple(space.cost(price) for price in prices))

    def of_population(self, population: Population) -> Floats:
        """(n, kinds) of genotypes (n, variables)."""
        return np.column_stack([cost(population) for cost in self.costs])


@dataclass(frozen=True)
class Rates:
    """`fixed_ms + work @ rates_ms`; `left_out`: leave-one-out root mean square error, relative to the times."""

    work: Work
    fixed_ms: float
    rates_ms: Floats
    left_out: float

    def predict(self, population: Population) -> Floats:
        """Milliseconds of every genotype."""
        return np.asarray(self.fixed_ms + self.work.of_population(population) @ self.rates_ms)

    def price_ms(self, layer: Layer, shape: Shape) -> float:
        """Milliseconds of `layer` at `shape`."""
        return sum(
            float(rate) * price(layer, shape) for rate, price in zip(self.rates_ms, self.work.prices, strict=True)
        )

    def as_rows(self, space: SearchSpace) -> tuple[float, tuple[Row, ...], list[str]]:
        """The offset, a row for every layer and input of `space`, and what is to be noted of them."""
        prices = [(layer, shape, self.price_ms(layer, shape)) for layer, shape in all_entries(space)]
        rows = tuple(Row(layer, shape, ms, 0.0, 0, grain(ms)) for layer, shape, ms in prices)
        return self.fixed_ms, rows, ["rows follow from the work of their layers, not from timing them"]


def learn_rates(work: Work, population: Population, times: Floats) -> Rates:
    """The rates that explain `times` (ms) of the genotypes in `population`.

    Least squares of relative errors, `sum (estimate / time - 1)^2 + noise^2 |rates|^2` with every kind of work scaled
    to root mean square 1 over the networks, all rates and the fixed part at least 0. `noise` is the one of `NOISES`
    with the least leave-one-out error. Raises `ValueError` below three networks.
    """
    from scipy.optimize import nnls

    if len(times) < 3:
        raise ValueError(f"rates cannot be learned from {len(times)} networks; measure at least 3")
    seen = work.of_population(population)
    size = np.sqrt((seen**2).mean(axis=0))
    size[size == 0] = np.inf  # no network has any of it: its rate stays 0
    design = np.column_stack([seen / size, np.ones(len(times))]) * (times.mean() / times)[:, None]
    pull = np.eye(design.shape[1])[:-1]  # the fixed part is not pulled

    def fit(rows: Floats, noise: float) -> Floats:
        wanted = np.concatenate([np.ones(len(rows)), np.zeros(len(pull))])
        return np.asarray(nnls(np.concatenate([rows, noise * pull]), wanted)[0])

    part = np.arange(len(times)) % min(len(times), FOLDS)
    errors = []
    for noise in NOISES:
        left_out = [design[part == p] @ fit(design[part != p], noise) - 1 for p in range(part.max() + 1)]
        errors.append(float(np.sqrt(np.mean(np.concatenate(left_out) ** 2))))
    best = int(np.argmin(errors))
    found = fit(design, NOISES[best]) * times.mean()
    return Rates(work, float(found[-1]), found[:-1] / size, errors[best])
