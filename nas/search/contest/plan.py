"""Successive halving as a plan: at which epochs networks are compared, how many stay, and what it costs.

Every network follows the schedule of the whole training (its cosine and all); a rung is a cut of it, not a training of
its own: who stays goes on where it stood. The last one is trained anew, with the images that judged as well; or,
cheaper, its training too goes on, so that its first epochs have seen a part of the images alone (`from_contest`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nas.search.contest.settings import ContestSettings

LATE = 0.75  # of a training


@dataclass(frozen=True)
class Plan:
    """Of `networks` of `epochs` epochs, `kept[i]` train on after `cuts[i]` epochs.

    `from_contest`: the last one is trained to the end from the last cut, not anew.
    """

    networks: int
    epochs: int
    cuts: tuple[int, ...]
    kept: tuple[int, ...]
    from_contest: bool = False

    @property
    def alive(self) -> tuple[int, ...]:
        """How many networks train up to each cut."""
        return (self.networks, *self.kept[:-1])

    @property
    def contest_epochs(self) -> int:
        """Epochs trained up to the last cut, of all networks together."""
        pieces = zip(self.cuts, (0, *self.cuts[:-1]), self.alive, strict=True)
        return sum((cut - before) * alive for cut, before, alive in pieces)

    @property
    def total_epochs(self) -> int:
        """All epochs until the last one standing is trained to the end."""
        return self.contest_epochs + self.epochs - (self.cuts[-1] if self.from_contest else 0)

    def is_late(self, rung: int) -> bool:
        """Whether networks are nearly trained at `rung`: after three quarters."""
        return self.cuts[rung] >= LATE * self.epochs

    def cut(self, rung: int, epochs: int) -> int:
        """Where `rung` cuts a training of so many epochs, which may be others: at the same share, rounded up."""
        return max(1, math.ceil(self.cuts[rung] * epochs / self.epochs - 1e-9))

    def sentence(self, seconds_per_epoch: float | None = None) -> str:
        """What is about to happen and what it costs. `seconds_per_epoch`: of one network, where it is known."""
        steps = [f"{self.networks} networks"]
        steps += [f"{kept} after {_epochs(cut)}" for cut, kept in zip(self.cuts, self.kept, strict=True)]
        cost = (
            f"{_epochs(self.total_epochs)} of training in all, {self.total_epochs / self.epochs:.2g} times the "
            f"{self.epochs} of a plain training"
        )
        if seconds_per_epoch is None:
            return f"contest: {', '.join(steps)}; {cost}"
        minutes = self.contest_epochs * seconds_per_epoch / 60
        return f"contest: {', '.join(steps)}; {cost}; about {minutes:.1f} min up to the last cut, by the trials' pace"


def plan_of(
    settings: ContestSettings, networks: int, epochs: int, found: int | None = None, from_contest: bool = False
) -> Plan:
    """The plan for `networks`, of which the search `found` so many (None: all), under trainings of so many epochs.

    By default R = ceil(log_reduction(found)) rungs, rung i at epochs (1 - reduction^-i), rounded up, but before the
    end: a contest among eight halves the network count at a half, three quarters and seven eighths of the training.
    Where short trainings make two rungs fall together, the later one counts. Departure: successive halving (Jamieson
    and Talwalkar, arXiv 1502.07943) begins early, at an eighth; there good networks are ranked by chance
    (`experiments/candidate_epochs`). Raises `ValueError` for rungs behind the training's end.
    """
    many = max(2, networks if found is None else found)
    factor = settings.reduction
    count = max(1, math.ceil(math.log(many) / math.log(factor) - 1e-9))
    if settings.rungs is None:
        cuts = [epochs - max(1, math.floor(epochs / factor ** (i + 1) + 1e-9)) for i in range(count)]
    else:
        cuts = list(settings.rungs)
        if cuts[-1] > epochs:
            raise ValueError(
                f"derive.rungs ends at epoch {cuts[-1]}, behind the {epochs} of the training; end it there"
            )
    kept: dict[int, int] = {}
    for i, cut in enumerate(cuts, start=1):
        kept[cut] = max(1, math.ceil(networks / factor**i))
    kept[cuts[-1]] = 1
    return Plan(networks, epochs, tuple(kept), tuple(kept.values()), from_contest)


def _epochs(count: int) -> str:
    return f"{count} epoch{'' if count == 1 else 's'}"
