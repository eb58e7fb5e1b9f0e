"""The operators of a block in the order in which they are executed, each with the tensors it reads and writes.

A block kind writes them down as its module calls them (`Layer.record`). Norms and learned scales are none: they are
folded into the convolution before them. An activation is one, of its own or in place (`InPlace`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from search_spaces.costs import Shape

InPlace = Literal["none", "element_wise", "depthwise"]
"""Which operators write over what they read, where nothing reads that later.

`none`: no operator does. `element_wise`: activations, sums and gates do. `depthwise`: depthwise convolutions too, one
channel of the output at a time, as TinyEngine does (arXiv 2007.10319).
"""
IN_PLACE: tuple[InPlace, ...] = get_args(InPlace)


class Value(NamedTuple):
    """A tensor of a block: the number of its memory on the tape, and its shape. Views have the number of another."""

    number: int
    shape: Shape


class Operator(NamedTuple):
    """One operator: the memories that it reads, the one it writes, and how it can write over one of those it reads.

    `over`: the least of `IN_PLACE` at which it can, None for never; `buffer`: elements that it takes besides when it
    does.
    """

    reads: tuple[int, ...]
    writes: int
    over: InPlace | None = None
    buffer: int = 0


class Tape:
    """The operators recorded so far, and the elements of each memory; memory 0 is the input."""

    def __init__(self, shape: Shape) -> None:
        self.operators: list[Operator] = []
        self.sizes: list[int] = [elements(shape)]
        self.input = Value(0, shape)

    def write(self, reads: tuple[Value, ...], shape: Shape, over: InPlace | None = None, buffer: int = 0) -> Value:
        """Any operator that reads all of `reads` and writes a tensor of `shape`; see `Operator`."""
        made = Value(len(self.sizes), shape)
        self.sizes.append(elements(shape))
        self.operators.append(Operator(tuple(value.number for value in reads), made.number, over, buffer))
        return made

    def conv(self, x: Value, out_channels: int, stride: int = 1, groups: int = 1, act: str = "") -> Value:
        """A convolution with "same" padding and its norm, then the activation `act` ('' for none)."""
        shape = Shape(out_channels, *x.shape.strided(stride))
        if groups == x.shape.channels == out_channels:
            made = self.write((x,), shape, "depthwise", shape.height * shape.width)
        else:
            made = self.write((x,), shape)
        return self.act(made) if act else made

    def act(self, x: Value) -> Value:
        """An activation or a gate's function."""
        return self.write((x,), x.shape, "element_wise")

    def add(self, a: Value, b: Value) -> Value:
        """The sum of two tensors of one shape."""
        return self.write((a, b), a.shape, "element_wise")

    def gated(self, x: Value, gate: Value) -> Value:
        """`x` times a gate per channel."""
        return self.write((x, gate), x.shape, "element_wise")

    def pool(self, x: Value) -> Value:
        """Global average pooling; of 1x1 maps there is nothing to do."""
        channels, height, width = x.shape
        return x if height == width == 1 else self.write((x,), Shape(channels, 1, 1))

    def shuffle(self, x: Value) -> Value:
        """The same elements in another order."""
        return self.write((x,), x.shape)

    def part(self, x: Value, channels: int) -> Value:
        """A view of some `channels` of `x`."""
        return Value(x.number, x.shape._replace(channels=channels))

    def concat(self, *parts: Value) -> Value:
        """`parts` behind each other, by channels."""
        return self.write(parts, parts[0].shape._replace(channels=sum(part.shape.channels for part in parts)))


def elements(shape: Shape) -> int:
    return shape.channels * shape.height * shape.width


def peak(tape: Tape, output: Value, in_place: InPlace) -> int:
    """Elements alive at once at most: over all operators, what they read and write and what is read later.

        peak = max_i sum of size(t) over tensors t with written(t) <= i <= last_read(t)

    with the input written before the first operator and `output` read behind the last. An operator that writes over one
    of its reads at `in_place` takes its `buffer` instead of what it writes. That tensor must be of no smaller size, and
    nothing may read it later.
    """
    last = {number: i for i, operator in enumerate(tape.operators) for number in operator.reads}
    last[output.number] = len(tape.operators)
    alive = {0}
    most = tape.sizes[0]
    allowed = IN_PLACE[: IN_PLACE.index(in_place) + 1]
    for i, operator in enumerate(tape.operators):
        held = sum(tape.sizes[number] for number in alive)
        size = tape.sizes[operator.writes]
        ending = [number for number in operator.reads if last[number] == i]
        over = operator.over in allowed and any(tape.sizes[number] >= size for number in ending)
        most = max(most, held + (operator.buffer if over else size))
        alive -= set(ending)
        if last.get(operator.writes, -1) > i:
            alive.add(operator.writes)
    return most
