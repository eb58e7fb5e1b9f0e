"""The space of docs/extending.md with a block kind of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml


def cheap_space(folder: Path, mine: Callable[[str], Any]) -> Any:
    """The page's space with a block kind of one's own, for grey images of 16 pixels."""
    card = yaml.safe_load((folder / "my_cards" / "space" / "cheap.yaml").read_text())
    fields = {key: value for key, value in card.items() if key != "_target_"}
    return mine("my_blocks").from_card(**fields | {"resolution": 16, "num_classes": 10, "in_channels": 1})
