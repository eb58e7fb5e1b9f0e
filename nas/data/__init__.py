"""Images and labels: fixed, seeded, disjoint splits, held as bytes and augmented a batch at a time."""

from nas.data.augment import AUGMENTS
from nas.data.images import ImageData
from nas.data.split import Split

__all__ = ["AUGMENTS", "ImageData", "Split"]
