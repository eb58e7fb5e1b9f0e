"""Policies of augmentation by name, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

RAND = "rand-m9-mstd0.5"  # two operations, each with probability 1/2, at magnitude 9 of 10, give or take 0.5


@dataclass(frozen=True)
class Augment:
    """One policy, applied in this order.

    `pad`: pad each side by this fraction of it (bytes with zeros, other numbers with the training mean), then crop at
    random to the old size. `resized_crop`: lower and upper area fraction of a random crop that is resized to the old
    size (its proportions changed by 3/4 to 4/3). `flip`: mirror left-right with probability 1/2. `rand`: timm's
    RandAugment, by its description (of bytes only; empty: none). `erase`: probability of erasing half the height by
    half the width (cut-out), set to the training mean.
    """

    pad: float = 0.0
    resized_crop: tuple[float, float] | None = None
    flip: bool = False
    rand: str = ""
    erase: float = 0.0


AUGMENTS: dict[str, Augment] = {
    "none": Augment(),
    "flip": Augment(flip=True),
    "shift": Augment(pad=1 / 16),
    "crop": Augment(pad=1 / 8),
    "crop_flip": Augment(pad=1 / 8, flip=True),
    "crop_flip_erase": Augment(pad=1 / 8, flip=True, erase=0.5),
    "zoom": Augment(resized_crop=(0.6, 1.0)),
    "resized_crop_flip": Augment(resized_crop=(0.08, 1.0), flip=True),
    "crop_flip_rand": Augment(pad=1 / 8, flip=True, rand=RAND),
    "resized_crop_flip_rand": Augment(resized_crop=(0.08, 1.0), flip=True, rand=RAND),
    "resized_crop_flip_rand_erase": Augment(resized_crop=(0.08, 1.0), flip=True, rand=RAND, erase=0.2),
}
"""The policies of augmentation by their names, which recipes and methods give as `augment`."""
