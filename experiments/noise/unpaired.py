"""What the same visits give without pairing: medians of the times as they were, beside no reference."""

from __future__ import annotations

import dataclasses

from nas.latency.assemble import assemble
from nas.latency.build import draw_networks
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.measuring.samples import Measurement
from nas.latency.measuring.visits import Visits
from nas.latency.tables.table import LatencyTable, entries, row_key
from search_spaces.space import SearchSpace


def times_of(visits: Visits) -> dict[str, Measurement]:
    """The median of all visits' medians, and its halves."""
    found = {}
    for key, turns in visits.items():
        plain = [dataclasses.replace(v, ms=v.now_ms, reference_ms=1.0, process=i) for i, v in enumerate(turns.values())]
        found[key] = Measurement.of(plain, 1.0)
    return found


def table_of(space: SearchSpace, visits: Visits, effort: Effort) -> LatencyTable:
    """The table of `space` on this machine that its `visits` give."""
    times, rows = times_of(visits), entries(space)
    fit, held_out = draw_networks(space, effort, 0)
    networks = [(arch, times[f"net:{arch.id}"], arch in fit) for arch in [*fit, *held_out]]
    return assemble(space.name, Device(), {row: times["row:" + row_key(*row)] for row in rows}, networks, {})
