"""Times of rows that were not measured, from measured ones of the same form.

A space of free widths has thousands of rows and few forms: a block without its widths, at one size of map. Of each form
a few rows are measured, its anchors; the time of another is

    constant + sum_j coefficient_j * count_j

over the counts of its own convolutions: multiply-adds, output elements and input elements, each as it is and with
channels filled up to `BLOCK`, as kernels for wide vectors execute them. The coefficients are not negative and are
fitted to the anchors by relative squared error; anchors of the same block at other sizes of map count too, with a
constant of their own and a tenth of the weight. Where the fit is settled it is linear in the times of the anchors, so
that a correction of these (`calibrate`) is carried over to every row.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.latency.tables.calibrate import LEAST_SHARE
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.pricing.additive import Floats

TableRow = tuple[Layer, Shape]
BLOCK = 16  # channels: of a vector of 512 bits
MOST_ANCHORS = (5, 9)  # of a form of one, of two free widths
LEAST_MS = 1e-6  # of a time that errors are relative to
ELSEWHERE = 0.1  # weight of anchors at other sizes of map


class Form(NamedTuple):
    """What a row is apart from its widths: its block, and the size of its input map. `widths`: in, and its own."""

    block: Hashable
    place: Hashable
    widths: tuple[int, ...]


def form_of(layer: Layer, shape: Shape) -> Form:
    """The form of the row `layer` (as `Layer.table_row` gives it) at `shape`."""
    without = dataclasses.replace(layer, **{name: 1 for name in layer.widths})
    block = (without, layer.has_residual(shape), sum(1 for _ in layer.convs(shape)))
    return Form(block, shape[1:], (shape.channels, *(getattr(layer, name) for name in layer.widths)))


def anchors(rows: Iterable[TableRow]) -> list[TableRow]:
    """The `rows` to be measured, in their order: of every form at every size of map a few, spread over its widths.

    The corners of the widths, then whichever row is farthest from those chosen, in logarithms of the widths and in
    whether they are multiples of `BLOCK`.
    """
    rows = list(rows)
    groups: dict[tuple[Hashable, Hashable], list[int]] = defaultdict(list)
    forms = [form_of(*row) for row in rows]
    for i, form in enumerate(forms):
        groups[form.block, form.place].append(i)
    chosen = {members[i] for members in groups.values() for i in _spread([forms[m].widths for m in members])}
    return [row for i, row in enumerate(rows) if i in chosen]


def _spread(widths: Sequence[tuple[int, ...]]) -> list[int]:
    """Which of `widths` are anchors."""
    free = len({len(set(column)) > 1 and column for column in zip(*widths, strict=True)} - {False})
    most = MOST_ANCHORS[min(free, len(MOST_ANCHORS)) - 1] if free else 1
    if len(widths) <= most:
        return list(range(len(widths)))
    numbers = np.array(widths)
    logs = np.log(numbers)
    places = np.hstack([logs, np.log(2) * (numbers % BLOCK > 0)])
    signs = np.array(np.meshgrid(*[(-1, 1)] * logs.shape[1])).reshape(logs.shape[1], -1).T
    found = list(dict.fromkeys(int(i) for i in (signs @ logs.T).argmax(axis=1)))
    while len(found) < most:
        distances = ((places[:, None] - places[found]) ** 2).sum(axis=-1).min(axis=1)
        found.append(int(distances.argmax()))
    return found


def counts_of(layer: Layer, shape: Shape) -> list[float]:
    """What the time of a row is made of: 1, and the counts of its convolutions and of its input."""
    found = [1.0]
    for channels in (int, _filled):
        found.append(float(channels(shape.channels) * shape.height * shape.width))
        for conv in layer.convs(shape):
            out = channels(conv.out_channels) * conv.height * conv.width
            seen = conv.in_channels // conv.groups  # by each output element, per pixel of the kernel
            found += [float(out * (channels(seen) if seen > 1 else 1) * conv.taps), float(out)]
    return found


def _filled(channels: int) -> int:
    """`channels`, filled up to whole blocks."""
    return -(-channels // BLOCK) * BLOCK


@dataclass(frozen=True)
class Fit:
    """The settled fit of a form at one size of map: which `counts` it uses, and how their coefficients follow.

    The coefficients of `counts[used] / scale` are `solve` times the times of the anchors `members`.
    """

    members: list[int]
    used: NDArray[np.int64]
    scale: Floats
    solve: Floats
    here: Floats  # which of the constants is that of its map

    def weights(self, counts: Sequence[float]) -> Floats:
        """By anchor of `members`: its part in the time of a row with `counts`."""
        found: Floats = (np.concatenate([counts, self.here]) / self.scale)[self.used] @ self.solve
        return found


class Interpolation:
    """The times of all rows of the forms of `rows`, whose isolated times are `ms`."""

    def __init__(self, rows: Sequence[TableRow], ms: Floats) -> None:
        self.rows, self.ms = list(rows), ms
        self._forms = [form_of(*row) for row in self.rows]
        self._blocks: dict[Hashable, list[int]] = defaultdict(list)
        for i, form in enumerate(self._forms):
            self._blocks[form.block].append(i)
        self._fits: dict[tuple[Hashable, Hashable], Fit] = {}

    @cached_property
    def _counts(self) -> list[list[float]]:
        return [counts_of(*row) for row in self.rows]

    def weights(self, layer: Layer, shape: Shape) -> tuple[list[int], Floats] | None:
        """The anchors that make up the time of a row, and their parts; None where none has its form at its map."""
        form = form_of(layer, shape)
        key = (form.block, form.place)
        if key not in self._fits:
            members = self._blocks.get(form.block, [])
            if not any(self._forms[i].place == form.place for i in members):
                return None
            self._fits[key] = self._fit(members, form.place)
        fit = self._fits[key]
        return fit.members, fit.weights(counts_of(layer, shape))

    def times(self, layer: Layer, shape: Shape, corrected: Floats) -> tuple[float, float] | None:
        """Isolated and corrected time (ms) of a row, `corrected` being the times of the measured ones.

        The corrected one is at least `LEAST_SHARE` of the isolated one. None where no anchor has its form at its map.
        """
        found = self.weights(layer, shape)
        if found is None:
            return None
        members, weights = found
        isolated = float(weights @ self.ms[members])
        return isolated, max(float(weights @ corrected[members]), LEAST_SHARE * isolated)

    def _fit(self, members: list[int], place: Hashable) -> Fit:
        from scipy.optimize import nnls  # late: commands that measure nothing do not wait for it

        places = list(dict.fromkeys(self._forms[i].place for i in members))
        there = np.array([[self._forms[i].place == other for other in places] for i in members], dtype=float)
        features = np.hstack([np.array([self._counts[i] for i in members]), there])
        scale = np.maximum(features.max(axis=0), 1.0)
        weight = np.array([1.0 if self._forms[i].place == place else ELSEWHERE for i in members])
        relative = weight / np.maximum(self.ms[members], LEAST_MS)
        design = features / scale * relative[:, None]
        used = np.flatnonzero(nnls(design, relative * self.ms[members])[0])
        solve = np.linalg.pinv(design[:, used]) * relative
        return Fit(members, used, scale, solve, np.array([float(other == place) for other in places]))

    def left_out_error_percent(self) -> float:
        """Mean error of the anchors' times when each is left out in turn, where its form has others at its map."""
        errors = []
        for i, form in enumerate(self._forms):
            others = [j for j in self._blocks[form.block] if j != i]
            if sum(self._forms[j].place == form.place for j in others) < 2:
                continue
            fit = self._fit(others, form.place)
            errors.append(abs(float(fit.weights(self._counts[i]) @ self.ms[others]) / max(self.ms[i], LEAST_MS) - 1))
        return 100 * float(np.mean(errors)) if errors else 0.0
