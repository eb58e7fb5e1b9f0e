"""The settings that say what is kept and what a collapse leads to, their types and ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MINUTES = 10.0
OnCollapse = Literal["auto", "warn", "stop", "roll_back"]
KEEPING_TYPES: dict[str, Any] = {  # None in runs from before there were such keys
    "checkpoint_minutes": (float | None, 0),
    "on_collapse": OnCollapse | None,
}


@dataclass(frozen=True)
class Keeping:
    """What is lost at most, and what a collapse leads to.

    `minutes` between two checkpoints inside of an epoch; 0: only ends of epochs are kept, and what a signal interrupts.
    `on_collapse`: see `nas.runs.keeping.collapse`.
    """

    minutes: float = MINUTES
    on_collapse: OnCollapse = "auto"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Keeping:
        """What a resolved configuration asks for; runs from before there were such keys have the defaults."""
        minutes, on_collapse = config.get("checkpoint_minutes"), config.get("on_collapse")
        return cls(MINUTES if minutes is None else minutes, on_collapse or "auto")

    def __post_init__(self) -> None:
        if not self.minutes >= 0:
            raise ValueError(
                f"checkpoint_minutes must be 0 or greater, got {self.minutes}; 0 keeps ends of epochs only"
            )


BY_DEFAULT = Keeping()
