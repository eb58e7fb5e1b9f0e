"""What an arch needs to be read in another process: the modules that register its kinds and activations."""

from __future__ import annotations

from search_spaces.arch import Arch
from search_spaces.blocks.activations import ACTIVATIONS


def modules_of(arch: Arch) -> tuple[str, ...]:
    """The modules to import before `arch` is read where nothing but this package is. Ours register themselves."""
    kinds = {type(layer).__module__ for layer in arch.layers}
    acts = {act.__module__ for act in ACTIVATIONS.values() if not isinstance(act, str)}
    return tuple(sorted(module for module in kinds | acts if not module.startswith("search_spaces.blocks.")))
