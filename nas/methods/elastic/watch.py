"""Whether an elastic supernet still learns: its loss against chance, and the distance of its ends."""

from __future__ import annotations

import math
from collections.abc import Mapping

LEARNT, LOST = (
    0.9,
    0.98,
)  # shares of the loss of guessing: below the first something is learnt, above the second nothing
CURE = (
    "go on with a lower pretraining.recipe.lr, or clip gradients (pretraining.recipe.clip_grad); the checkpoint of the "
    "last good epoch is kept"
)


class Watch:
    """Looks at the mean losses of every epoch of a training over `num_classes` classes, equally frequent ones.

    `best`: the largest arch's least loss so far, nats.
    """

    def __init__(self, num_classes: int, best: float = math.inf) -> None:
        self.chance, self.best = math.log(num_classes), best

    def check(self, epoch: int, record: Mapping[str, float], last: bool) -> str | None:
        """A note on epoch `epoch` (from 0), if there is one. `record`: `largest_loss` and `smallest_loss`, nats.

        Raises `ValueError` where the largest arch fell back to chance after it had learnt something, or has learnt
        nothing by the `last` epoch: its whole supernet collapsed with it.
        """
        largest, smallest = record["largest_loss"], record["smallest_loss"]
        at_chance = largest >= LOST * self.chance
        if at_chance and self.best < LEARNT * self.chance:
            raise ValueError(
                f"the supernet collapsed in epoch {epoch + 1}: the loss of its largest arch is {largest:.3f}, guessing "
                f"has {self.chance:.3f}, and it was {self.best:.3f}; {CURE}"
            )
        if at_chance and last:
            raise ValueError(
                f"the supernet learnt nothing in {epoch + 1} epochs: the loss of its largest arch is {largest:.3f}, "
                f"guessing has {self.chance:.3f}; {CURE}"
            )
        self.best = min(self.best, largest)
        if last and smallest >= LOST * self.chance:
            return f"the smallest arch of the supernet learnt nothing: its loss is {smallest:.3f}, that of guessing"
        if last and smallest < largest - 0.05 * self.chance:
            return (
                f"the smallest arch of the supernet has a smaller loss than the largest ({smallest:.3f} against "
                f"{largest:.3f}): the largest did not learn what it could teach"
            )
        return None
