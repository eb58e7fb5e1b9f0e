"""Identities: what a thing that is reused depends on, so that something else is refused by naming what differs.

An identity is a flat mapping from a name a user can act on ("data", "recipe", "validation_fraction") to a plain value.
What is large (images, weights) enters as a digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from search_spaces.plain_data.own_code import other_code

Identity = Mapping[str, Any]
# Entries that identities of before do not have: what these depended on is not known, nor refused.
ADDED = ("code", "runtime_code")


def digest(value: Any) -> str:
    """32 hexadecimal digits of plain `value` (numbers, strings, containers of them), whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def differences(known: Identity, asked: Identity) -> list[str]:
    """One phrase for each entry that differs, nested mappings entry by entry: `recipe.lr is 0.1, asked is 0.2`."""
    found = []
    for key in [*asked, *(key for key in known if key not in asked)]:
        then, now = plain(known.get(key)), plain(asked.get(key))
        if then == now or (key in ADDED and key not in known):
            continue
        if key in ADDED and isinstance(then, str) and isinstance(now, str | None):
            if (changed := other_code(then, now or "none")) is not None:
                found.append(f'{key} is "{changed[0]}", asked is "{changed[1]}"')
        elif isinstance(then, dict) and isinstance(now, dict):
            found += [f"{key}.{phrase}" for phrase in differences(then, now)]
        else:
            found.append(f"{key} is {_shown(then)}, asked is {_shown(now)}")
    return found


def check(what: str, known: Identity, asked: Identity, fix: str) -> None:
    """Raise `ValueError` where `what` (say `checkpoint runs/a/search.pt`) was made for something else than asked."""
    found = differences(known, asked)
    if found:
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        raise ValueError(f"{what} belongs to something else: {'; '.join(found[:3])}{more}; {fix}")


def plain(value: Any) -> Any:
    """`value` as JSON gives it back, so that what was stored compares with what is asked."""
    return json.loads(json.dumps(value))


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:50]}..."
