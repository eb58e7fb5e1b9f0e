"""One stage of the mobile space, written down as terms of a chain."""

from __future__ import annotations

from dataclasses import dataclass

from search_spaces.blocks import Layer
from search_spaces.choices import Chain, Choice, combine, constant
from search_spaces.families.mobile.forms import Form

MOBILENETV3 = "mobilenetv3"  # a pattern of activations, not one of them
HARD_SWISH_FROM = 3  # MobileNetV3's blocks have ReLU in slots A to C, hard swish behind them and in the stem


@dataclass(frozen=True)
class Stage:
    """The choices of one stage: channels, depth (0: it can be left out), forms; the stride of its first block.

    `firsts`: channels that the first block may have instead of the stage's. `each`: a form per block, not per stage.
    """

    name: str
    channels: tuple[int, ...]
    depths: tuple[int, ...]
    stride: int
    forms: tuple[Form, ...]
    firsts: tuple[int, ...] = ()
    each: bool = False

    def write(self, chain: Chain, act: Choice) -> None:
        """Append the stage to `chain`; `act`: the activation of blocks that have none of their own."""
        depth = chain.choice(f"{self.name}.depth", self.depths)
        width = chain.choice(f"{self.name}.channels", self.channels)
        form = self._form(chain, "0" if self.each else "", self.stride)
        first = width
        if self.firsts:
            own = chain.choice(f"{self.name}.first", (0, *self.firsts))
            # a stage of one block has no channels but its own
            first = combine(lambda c, other, n: other if other and n > 1 else c, width, own, depth)
        block = combine(lambda *chosen: _block(self.stride, *chosen), form, first, act)
        before, stride = chain.channels, constant(self.stride)
        if 0 in self.depths:
            exists = combine(lambda n: n > 0, depth)
            block = combine(lambda there, layers: layers if there else (), exists, block)
            stride = combine(lambda there: self.stride if there else 1, exists) if self.stride > 1 else stride
        chain.run(block, first, stride)
        if max(self.depths) > 1:
            self._rest(chain, form, (depth, width, act))
        if 0 in self.depths:  # where the stage is left out, what follows it sees what it would have seen
            chain.channels = combine(lambda there, c, c_before: c if there else c_before, exists, width, before)

    def _rest(self, chain: Chain, form: Choice, decided: tuple[Choice, Choice, Choice]) -> None:
        """The blocks behind the first. `decided`: depth, channels and activation."""
        depth, width, act = decided
        if not self.each:
            more = combine(lambda n: max(n - 1, 0), depth)
            chain.run(combine(lambda n, *chosen: _block(1, *chosen) * n, more, form, width, act), width)
            return
        for i in range(1, max(self.depths)):
            own = self._form(chain, str(i), 1)
            there = combine(lambda n, i=i: n > i, depth)
            chain.run(
                combine(lambda there, *chosen: _block(1, *chosen) if there else (), there, own, width, act), width
            )

    def _form(self, chain: Chain, block: str, stride: int) -> Choice:
        """The form of a block (of all blocks where `block` is empty), of those that can have its stride."""
        forms = {form.name: form for form in self.forms if form.fits(stride)}
        if not forms:
            raise ValueError(f"{chain.name}: stage {self.name} has no form of stride {stride}; list one")
        name = chain.choice(f"{self.name}.form{block}", tuple(forms), ordered=False)
        return combine(lambda chosen: forms[chosen], name)


def _block(stride: int, form: Form, channels: int, act: str) -> tuple[Layer, ...]:
    return (form.layer(channels, stride, act),)


def act_of(pattern: Choice, slot: int) -> Choice:
    """The activation of slot number `slot` under a pattern: `mobilenetv3` is ReLU early and hard swish late."""
    late = slot >= HARD_SWISH_FROM
    return combine(lambda name: ("hard_swish" if late else "relu") if name == MOBILENETV3 else name, pattern)
