"""What is remembered of a machine: how fast its references are when it is calm.

A table keeps the calm times that its own times stand at. A network that is measured by itself has no table, and on a
machine that is busy today they cannot be seen: so they are kept from the calmest measurement so far, one small file for
each runtime and way of driving it, in the user's cache (`~/.cache/nas`, or `$NAS_CACHE`). Without that folder nothing
is remembered.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from nas.latency.device import Device
from nas.latency.measuring.journal import seal
from nas.latency.measuring.ladder import ladder
from nas.latency.measuring.samples import Ladder, calmer
from nas.latency.measuring.visits import MOST_MS
from nas.latency.tables.origin import LOCAL, here, measured_by
from nas.runs.files import cache_folder, read_json, write_json
from search_spaces.plain_data.identity import Identity, digest, plain

FORMAT = "nas.calm_speed"


def remembered(device: Device) -> dict[str, float]:
    """Milliseconds of each reference, by its name, when this machine was calmest; empty where nothing is known."""
    path, identity = _place(device)
    try:
        found = read_json(path, "calm speed of this machine")
        if (
            found["format"] != FORMAT
            or found["identity"] != plain(identity)
            or found["digest"] != seal(found, "digest")
        ):
            return {}
        return {name: float(ms) for name, ms in found["calm_ms"].items() if 0 < ms <= MOST_MS}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # it is there to help: without it, or with a damaged one, what is seen now stands


def remember(device: Device, seen: Ladder) -> dict[str, float]:
    """What is known of the calm speed once the times `seen` just now are added; it is kept."""
    known = remembered(device)
    found = calmer(known, seen)
    if found != known:
        path, identity = _place(device)
        content = {"format": FORMAT, "identity": plain(identity), "calm_ms": found}
        with contextlib.suppress(OSError):
            write_json(path, {**content, "digest": seal(content, "digest")})
    return found


def _place(device: Device) -> tuple[Path, Identity]:
    """Where it is kept, and all that the times depend on."""
    device = dataclasses.replace(device, name=LOCAL)
    identity = {**measured_by(device, here(device)), "references": [arch.id for arch in ladder().values()]}
    return cache_folder() / f"calm-{device.key}-{digest(plain(identity))[:8]}.json", identity
