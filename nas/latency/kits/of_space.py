"""Kits of a space: its blocks and whole networks, measured elsewhere, and the table that these times give."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nas.latency.assemble import assemble
from nas.latency.build import draw_networks, shuffled
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.kits.files import SUBJECT, Contents, write_folder
from nas.latency.kits.results import naming, read_results
from nas.latency.measuring.samples import Conditions, slowdown
from nas.latency.tables import fields
from nas.latency.tables.table import LatencyTable, all_entries, entries
from search_spaces.arch import own_code
from search_spaces.blocks import layer_from_dict
from search_spaces.costs import Shape
from search_spaces.space import SearchSpace


def write_kit(
    space: SearchSpace,
    device: Device,
    folder: str | Path,
    *,
    seed: int = 0,
    effort: Effort | None = None,
    command: str = "space=...",
) -> Path:
    """Write the kit of `space` for `device` to the new folder `folder`; see `nas.latency.kits.files.write_folder`.

    `command`: the settings of the space, which its table is imported with.
    """
    effort, rows = effort or Effort(), entries(space)
    fit, held_out = draw_networks(space, effort, seed)
    networks = [(arch, "fit" if arch in fit else "held_out") for arch in shuffled(fit + held_out, seed)]
    others = len(all_entries(space)) - len(rows)
    more = {**({"interpolated": others} if others else {}), **own_code(rows)}
    contents = Contents(space.name, device, effort, seed, rows, networks, more)
    return write_folder(contents, folder, f"python -m nas.latency {command} action=import kit=<this folder>")


def import_kit(folder: str | Path, space: SearchSpace | None = None) -> LatencyTable:
    """The table that the results in the kit `folder` give, calibrated and proven like a direct build.

    Raises `ValueError` as `read_results` does, and where they are of another space than `space`.
    """
    folder = Path(folder)
    found = read_results(folder)
    with naming(folder):
        kit = found.kit
        rows = {(layer_from_dict(row["layer"]), Shape(*row["shape"][1:])): row["key"] for row in kit["rows"]}
        networks = [(arch, key, role == "fit") for arch, key, role in found.networks()]
        name = fields.name(kit["space"], "space")
        others = fields.whole(kit.get("interpolated", 0), "interpolated")
        code = {"code": fields.text(kit["code"], "code")} if "code" in kit else {}
        if not rows or not networks:
            if kit["space"] == SUBJECT:
                raise ValueError("it is a kit of found networks, not of a space; name their run: run=...")
            raise ValueError("it lists no rows or no networks; write a new kit")
        calm = found.calm_speed()
        felt = found.elasticities()
        times = found.times(Conditions(calm, felt))
    speed = {"calm_ms": calm, "elasticity": felt, "slowdown": slowdown(times.values())}
    table = assemble(
        name,
        found.device,
        {row: times[key] for row, key in rows.items()},
        [(arch, times[key], fit) for arch, key, fit in networks],
        {**found.environment, **code, "kit": kit["id"], **speed},
        others,
    )
    if space is not None:
        table.check(space)
    return dataclasses.replace(table, fell_back=found.fell_back)
