"""How memory is counted: bytes of an element, and which operators work in place."""

from __future__ import annotations

from dataclasses import dataclass

from search_spaces.memory.tape import IN_PLACE, InPlace

BYTES: dict[str, tuple[int, int]] = {"fp32": (4, 4), "bf16": (2, 2), "fp16": (2, 2), "int8": (1, 4)}
"""Per arithmetic, the bytes of an activation or a weight, and those of a bias (32 bits beside weights of 8)."""
KIB = 1024


@dataclass(frozen=True, slots=True)
class Counted:
    """The arithmetic `dtype` that activations and weights are stored in, and which operators work `in_place`."""

    dtype: str = "fp32"
    in_place: InPlace = "element_wise"

    def __post_init__(self) -> None:
        if self.dtype not in BYTES:
            raise ValueError(f"memory cannot be counted in dtype {self.dtype!r}; one of {', '.join(BYTES)}")
        if self.in_place not in IN_PLACE:
            raise ValueError(f"unknown in_place={self.in_place!r}; one of {', '.join(IN_PLACE)}")

    @classmethod
    def of_device(cls, dtype: str) -> Counted:
        """As a device that computes in `dtype` stores them; in fp32 where we do not know how it does."""
        return cls(dtype if dtype in BYTES else "fp32")

    def activations_kib(self, elements: int) -> float:
        """KiB of `elements` of activations."""
        return elements * BYTES[self.dtype][0] / KIB

    def weights_kib(self, weights: int, biases: int) -> float:
        """KiB of so many weights and biases."""
        of_weight, of_bias = BYTES[self.dtype]
        return (weights * of_weight + biases * of_bias) / KIB


def amount(value: float) -> str:
    """`value` of a cost for people: counts in full, large ones too, others with four significant digits."""
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.4g}"
