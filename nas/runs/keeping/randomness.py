"""The random numbers that a loop draws from the process's own streams, as a part of its state."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def random_state(*generators: torch.Generator) -> dict[str, Any]:
    """Where torch's global streams, numpy's and those of `generators` stand: plain data for a checkpoint."""
    numpy = np.random.get_state(legacy=False)
    found = {
        "torch": torch.get_rng_state(),
        "generators": [generator.get_state() for generator in generators],
        "numpy": torch.from_numpy(numpy["state"]["key"].astype(np.int64)),
        "numpy_rest": [int(numpy["state"]["pos"]), int(numpy["has_gauss"]), float(numpy["gauss"])],
    }
    return found | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else {})


def set_random_state(state: dict[str, Any], *generators: torch.Generator) -> None:
    """Put all of them where `random_state` found them."""
    key: Tensor = state["numpy"]
    pos, has_gauss, gauss = state["numpy_rest"]
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    for generator, stored in zip(generators, state["generators"], strict=True):
        generator.set_state(stored)
    values = {"key": key.numpy().astype(np.uint32), "pos": pos}
    np.random.set_state({"bit_generator": "MT19937", "state": values, "has_gauss": has_gauss, "gauss": gauss})
