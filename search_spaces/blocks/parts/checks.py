"""What the values of a layer must obey. Every function raises `ValueError` naming kind, value and constraint."""

from __future__ import annotations

from search_spaces.blocks.activations import ACTIVATIONS
from search_spaces.blocks.layer import Layer

MOST_CHANNELS = 2**24  # and classes; no tensor of a larger side is of use, and their products stay countable
MOST_EXPANSION = 1000
# Where a strided convolution has its zeros: as many before the map as behind it, or where TensorFlow's SAME has them
# (no more than are needed, an odd one behind). Both give ceil(side / stride) pixels; odd kernels agree at stride 1.
PADDINGS = ("symmetric", "tensorflow")


def positive(layer: Layer, *names: str, most: int = MOST_CHANNELS) -> None:
    """Whole numbers from 1 to `most`."""
    for name in names:
        value = getattr(layer, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{layer.kind}: {name} must be a whole number >= 1, got {value!r}")
        if value > most:
            raise ValueError(f"{layer.kind}: {name} must be at most {most}, got {value:.6g}")


def odd(layer: Layer, *names: str) -> None:
    """Kernel sizes, which "same" padding needs to be odd."""
    for name in names:
        if getattr(layer, name) % 2 == 0:
            raise ValueError(f"{layer.kind}: {name} must be odd ('same' padding), got {getattr(layer, name)}")


def kernel(layer: Layer, name: str = "kernel_size") -> None:
    """A side, or (height, width), which become a side where they are equal; odd, but for TensorFlow's padding."""
    given = getattr(layer, name)
    sides = tuple(given) if isinstance(given, tuple | list) else (given, given)
    if len(sides) != 2 or not all(isinstance(s, int) and not isinstance(s, bool) and s >= 1 for s in sides):
        raise ValueError(f"{layer.kind}: {name} must be a whole number >= 1 or [height, width], got {given!r}")
    if max(sides) > MOST_CHANNELS:
        raise ValueError(f"{layer.kind}: {name} must be at most {MOST_CHANNELS}, got {max(sides):.6g}")
    if getattr(layer, "padding", "symmetric") != "tensorflow" and not (sides[0] % 2 and sides[1] % 2):
        raise ValueError(
            f"{layer.kind}: {name} must be odd ('same' padding), got {given}; even kernels need padding: tensorflow"
        )
    object.__setattr__(layer, name, sides[0] if sides[0] == sides[1] else sides)


def odd_or_none(layer: Layer, *names: str) -> None:
    """Kernel sizes as `odd` wants them, 0 for a convolution that is not there."""
    for name in names:
        if isinstance(getattr(layer, name), bool) or getattr(layer, name) != 0:
            positive(layer, name)
            odd(layer, name)


def activation(layer: Layer, *names: str) -> None:
    """Names of activations, '' for none."""
    for name in names:
        act = getattr(layer, name)
        if act not in ACTIVATIONS and act != "":
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"{layer.kind}: unknown activation {act!r}; one of {known} (or '' for none)")


def padding(layer: Layer, name: str = "padding") -> None:
    """One of `PADDINGS`."""
    if getattr(layer, name) not in PADDINGS:
        raise ValueError(f"{layer.kind}: unknown {name} {getattr(layer, name)!r}; one of {', '.join(PADDINGS)}")


def expansion(layer: Layer, name: str = "expand_ratio") -> None:
    """A ratio, which becomes a float."""
    ratio = getattr(layer, name)
    if not 0 < ratio <= MOST_EXPANSION:
        raise ValueError(f"{layer.kind}: {name} must be > 0 and at most {MOST_EXPANSION}, got {ratio!r}")
    object.__setattr__(layer, name, float(ratio))


def ungrouped(layer: Layer) -> None:
    """One group of channels, so that the first channels of its weights are a narrower layer."""
    if getattr(layer, "groups", 1) > 1:
        raise ValueError("slices of grouped convolutions do not nest; drop the groups")
