"""Random streams as functions of a seed and a name, so that a resumed run draws what an uninterrupted one draws.

Nothing random depends on how far another phase has advanced: every epoch of every phase opens its own stream.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, *stream: int | str) -> int:
    """A 63-bit seed for the stream called `stream` of the run seed `seed`."""
    text = "/".join(str(part) for part in (seed, *stream))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *stream: int | str) -> torch.Generator:
    """A CPU torch generator at the start of the named stream."""
    import torch

    return torch.Generator().manual_seed(derive_seed(seed, *stream))


def numpy_generator(seed: int, *stream: int | str) -> np.random.Generator:
    """A numpy generator at the start of the named stream."""
    return np.random.default_rng(derive_seed(seed, *stream))


def seed_global(seed: int, *stream: int | str) -> None:
    """Set torch's global generators (dropout, stochastic depth, initialisation) to the start of the named stream."""
    import torch

    torch.manual_seed(derive_seed(seed, *stream))
