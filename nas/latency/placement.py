"""Where the operators of a network really ran: those that a runtime computed otherwise than it was asked to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Placement:
    """`elsewhere` of `operators` in `networks` graphs ran otherwise than asked.

    `elsewhere` counts them by what they are and what became of them: `{"Conv in fp32": 2}`, `{"MEAN outside XNNPACK":
    1}`. Operators are those that compute, as the runtime counts them after it has fused some: reshapes are none.
    """

    networks: int = 1
    operators: int = 0
    elsewhere: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Placement) -> Placement:
        both = dict(self.elsewhere)
        for name, count in other.elsewhere.items():
            both[name] = both.get(name, 0) + count
        return Placement(self.networks + other.networks, self.operators + other.operators, both)

    @property
    def fallen_back(self) -> int:
        return sum(self.elsewhere.values())

    def sentence(self) -> str:
        """What is said of it on screen and in reports; empty where all operators ran as asked."""
        if not self.elsewhere:
            return ""
        names = sorted(self.elsewhere.items(), key=lambda item: (-item[1], item[0]))
        where = "the network" if self.networks == 1 else f"{self.networks} networks"
        return f"{self.fallen_back} of {self.operators} operators in {where} ran otherwise than asked: " + ", ".join(
            f"{count} {name}" for name, count in names
        )

    def to_dict(self) -> dict[str, Any]:
        return {"networks": self.networks, "operators": self.operators, "elsewhere": dict(self.elsewhere)}

    @staticmethod
    def from_dict(data: Any) -> Placement:
        """What `to_dict` wrote. Raises `ValueError` for anything else."""
        known = isinstance(data, dict) and isinstance(data.get("elsewhere"), dict)
        counts = [data.get("networks"), data.get("operators"), *data["elsewhere"].values()] if known else [None]
        if not all(_is_count(count) for count in counts):
            raise ValueError(f"operators that fell back are counts of networks, operators and names, got {data!r:.80}")
        return Placement(data["networks"], data["operators"], dict(data["elsewhere"]))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10**9
