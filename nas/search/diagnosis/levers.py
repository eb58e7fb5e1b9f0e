"""The levers of a network in numbers: how deep and wide it is, its kernels, block kinds, resolution, and its recipe.

They are read from the networks themselves, so every space has them, a user's own too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import Conv, Shape
from search_spaces.resolution import size
from search_spaces.space import Genotype
from search_spaces.wrappers.joint import JointSpace

Value = float | str


def levers(space: JointSpace, genotype: Genotype) -> dict[str, Value]:
    """The value of every lever of a candidate by the lever's name; numbers have an order, words have none."""
    return {**of_arch(space.decode(genotype)), **_of_recipe(space, genotype)}


def of_arch(arch: Arch) -> dict[str, Value]:
    """Of the blocks between stem and head that execute something, means; of those only that are not left out.

    `depth`: how many there are. `width`: their output channels; `inner width`: most channels within. `kernel`: side
    of the largest kernel. `share of K`: of blocks of kind K. `resolution`: pixels of the image's shorter side.
    """
    inner = list(arch.walk_stages())[1:-1]
    blocks = [(layer, shape) for stage in inner for layer, shape in stage if not layer.is_identity(shape)]
    found: dict[str, Value] = {"resolution": float(min(size(arch.resolution))), "depth": float(len(blocks))}
    if not blocks:
        return found
    convs = [convs for layer, shape in blocks if (convs := list(layer.convs(shape)))]
    found["width"] = float(np.mean([layer.out_shape(shape).channels for layer, shape in blocks]))
    if convs:
        found["inner width"] = float(np.mean([max(conv.out_channels for conv in block) for block in convs]))
        found["kernel"] = float(np.mean([max(map(_side, block)) for block in convs]))
    kinds = [_kind(layer, shape) for layer, shape in blocks]
    return found | {f"share of {kind}": kinds.count(kind) / len(kinds) for kind in sorted(set(kinds))}


def _side(conv: Conv) -> int:
    return conv.kernel_size if isinstance(conv.kernel_size, int) else max(conv.kernel_size)


def _kind(layer: Layer, shape: Shape) -> str:
    return layer.kind or type(layer).__name__


def _of_recipe(space: JointSpace, genotype: Genotype) -> dict[str, Value]:
    choices: list[tuple[str, Any]] = [
        (variable.name, variable.choices[gene])
        for variable, gene in zip(space.variables[space.arch_genes :], genotype[space.arch_genes :], strict=True)
    ]
    return {name: float(c) if isinstance(c, int | float) and not isinstance(c, bool) else str(c) for name, c in choices}
