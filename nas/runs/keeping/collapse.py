"""What counts as the collapse of a training or a search, and what follows.

    sign                                              threshold
    a loss that is not finite                         -
    the loss is back at chance                        at least `LOST` of ln(classes), after less than `LEARNT` of it

`auto` stops at losses that are not finite and warns of everything else; `warn` does so too, `stop` stops at every sign;
`roll_back` goes back to the end of the last good epoch, with `FACTOR` of the learning rate, `ROLL_BACKS` times at most,
and then stops. Weights that are not finite stay so: no policy goes on with them.
"""

from __future__ import annotations

import math

from nas.runs.keeping.settings import OnCollapse
from nas.terminal.progress import log

LEARNT, LOST = (
    0.9,
    0.98,
)  # shares of the loss of guessing: below the first something is learnt, above the second nothing
FACTOR, ROLL_BACKS = 0.5, 3


class Collapsed(ValueError):
    """A training or a search that no longer learns: the sign, and the way out."""


def is_lost(loss: float, best: float, chance: float) -> bool:
    """Whether a mean `loss` is back at `chance` after the `best` one had been better; all in nats."""
    return loss >= LOST * chance and best < LEARNT * chance


class Watch:
    """Looks at what every epoch of `name` (a training, a search) comes to.

    `best`: the least mean loss so far, nats; `roll_backs` so far.
    """

    def __init__(self, policy: OnCollapse, name: str, num_classes: int, cure: str) -> None:
        self.policy, self.name, self.cure = policy, name, cure
        self.chance = math.log(num_classes)
        self.best, self.roll_backs = math.inf, 0
        self._said: set[str] = set()

    @property
    def factor(self) -> float:
        """Of the learning rates, after all times that it was rolled back."""
        return FACTOR**self.roll_backs

    def look(self, epoch: int, loss: float) -> None:
        """Raise `Collapsed` or warn where the mean `loss` of `epoch` (from 0) is a sign."""
        if is_lost(loss, self.best, self.chance):
            self.sign(
                "chance",
                f"{self.name} collapsed in epoch {epoch + 1}: its loss is {loss:.3f}, guessing has {self.chance:.3f}, "
                f"and it was {self.best:.3f}",
            )
        self.best = min(self.best, loss)

    def sign(self, kind: str, text: str) -> None:
        """Raise `Collapsed` for a sign of this `kind`, or say it, once."""
        if self.policy in ("stop", "roll_back"):
            raise Collapsed(f"{text}; {self.cure}")
        if kind not in self._said:
            self._said.add(kind)
            log(f"NOTE: {text}; {self.cure}")

    def roll_back(self, error: Collapsed) -> None:
        """Count one more, and say so. Raises `error` where the policy is another, or it was done too often."""
        if self.policy != "roll_back":
            raise error
        if self.roll_backs >= ROLL_BACKS:
            raise Collapsed(f"{error}; it was rolled back {self.roll_backs} times") from None
        self.roll_backs += 1
        what = error.args[0].partition(";")[0]
        log(f"{what}; rolled back to the last good epoch, from here with {self.factor:g} of the learning rate")
