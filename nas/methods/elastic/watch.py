"""Whether an elastic supernet still learns: its loss against chance, and the distance of its ends."""

from __future__ import annotations

from collections.abc import Mapping

from nas.runs.keeping import collapse
from nas.runs.keeping.collapse import LOST, Collapsed, is_lost
from nas.runs.keeping.settings import OnCollapse

CURE = (
    "go on with a lower pretraining.recipe.lr, or clip gradients (pretraining.recipe.clip_grad); the checkpoint of the "
    "last good epoch is kept"
)


class Watch(collapse.Watch):
    """Looks at the mean losses of every epoch of a training over `num_classes` classes, equally frequent ones.

    `best`: the largest arch's least loss so far, nats. Only the policy `warn` goes on with a supernet that
    collapsed.
    """

    def __init__(self, num_classes: int, policy: OnCollapse = "auto") -> None:
        super().__init__(policy, "the supernet", num_classes, CURE)

    def check(self, epoch: int, record: Mapping[str, float], last: bool) -> str | None:
        """A note on epoch `epoch` (from 0), if there is one. `record`: `largest_loss` and `smallest_loss`, nats.

        Raises `Collapsed` where the largest arch fell back to chance after it had learnt something, or has learnt
        nothing by the `last` epoch: its whole supernet collapsed with it.
        """
        largest, smallest = record["largest_loss"], record["smallest_loss"]
        ends = f"the loss of its largest arch is {largest:.3f}, guessing has {self.chance:.3f}"
        if is_lost(largest, self.best, self.chance):
            self._lost(f"the supernet collapsed in epoch {epoch + 1}: {ends}, and it was {self.best:.3f}")
        elif last and largest >= LOST * self.chance:
            self._lost(f"the supernet learnt nothing in {epoch + 1} epochs: {ends}")
        self.best = min(self.best, largest)
        if last and smallest >= LOST * self.chance:
            return f"the smallest arch of the supernet learnt nothing: its loss is {smallest:.3f}, that of guessing"
        if last and smallest < largest - 0.05 * self.chance:
            return (
                f"the smallest arch of the supernet has a smaller loss than the largest ({smallest:.3f} against "
                f"{largest:.3f}): the largest did not learn what it could teach"
            )
        return None

    def _lost(self, text: str) -> None:
        if self.policy != "warn":
            raise Collapsed(f"{text}; {self.cure}")
        self.sign("chance", text)
