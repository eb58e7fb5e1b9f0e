"""Types and ranges of the settings that say what is kept and what a collapse leads to."""

from __future__ import annotations

from typing import Any, Literal

OnCollapse = Literal["auto", "warn", "stop", "roll_back"]
KEEPING_TYPES: dict[str, Any] = {  # None in runs from before there were such keys
    "checkpoint_minutes": (float | None, 0),
    "on_collapse": OnCollapse | None,
}
