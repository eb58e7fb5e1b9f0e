"""Files that hold times of whole networks only: a table is learned from them and proven on those left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas.latency.device import Device
from nas.latency.imports.cells import check_networks, milliseconds
from nas.latency.learning.as_rows import as_rows
from nas.latency.learning.learn import Additive, learn
from nas.latency.tables.proof import Errors, Proof
from nas.latency.tables.table import LatencyTable, grain
from search_spaces.space import LayerwiseSpace, SearchSpace

HELD_OUT = 0.2  # share of the networks that prove the table


def read_help(
    path: Path, *, space: SearchSpace, device: Device, source: str | None, unit: str | None, repair: bool
) -> LatencyTable:
    """HELP's FBNet data as npz: `archs` (n, positions), `ops` (names), `lat_<source>` (n,) in ms."""
    if not isinstance(space, LayerwiseSpace):
        raise ValueError(f"this format lists positions; {space.name} is not a layer-wise space")
    if repair:
        raise ValueError("times of whole networks cannot be repaired by others; remove the networks named")
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as data:
            names = [name.removeprefix("lat_") for name in data.files if name.startswith("lat_")]
            if source not in names:
                given = "" if source is None else f"it has no {source!r}; "
                raise ValueError(f"{given}give source=..., one of {', '.join(sorted(names))}")
            times = data[f"lat_{source}"].astype(np.float64) * milliseconds(unit or "ms")
            archs, ops = data["archs"].astype(np.int64), [str(op) for op in data["ops"]]
    except (OSError, KeyError, EOFError) as error:
        raise ValueError(f"not HELP's FBNet data: {error}") from None
    except Exception as error:
        if isinstance(error, ValueError) and "source=" in str(error):
            raise
        raise ValueError(f"not HELP's FBNet data: {error}") from None
    for i, position in enumerate(space.positions):
        if list(position.labels) != ops:
            raise ValueError(
                f"layer {i + 1} has the candidates {', '.join(position.labels)}, the file {', '.join(ops)}"
            )
    if times.ndim != 1 or archs.shape != (len(times), len(space.positions)):
        raise ValueError(f"{archs.shape} op indices for {times.shape} times of {len(space.positions)} layers")
    odd = np.flatnonzero(((archs < 0) | (archs >= len(ops))).any(axis=1))
    if len(odd):
        raise ValueError(f"network {odd[0]} has op indices {archs[odd[0]].tolist()}; there are ops 0..{len(ops) - 1}")
    bad = np.flatnonzero(~(np.isfinite(times) & (times > 0)))
    if len(bad):
        raise ValueError(f"network {bad[0]} has the time {times[bad[0]]:g} ms")
    check_networks(space.count("macs")(archs), times, device.batch_size)
    return learned_table(space, archs, times, device)


def learned_table(space: LayerwiseSpace, population: np.ndarray, times: np.ndarray, device: Device) -> LatencyTable:
    """A table learned from the first 80% of `times` (ms) and proven on the rest.

    Only differences between candidates can be learned: what every network pays is the offset. Equal layers at equal
    inputs get one time, the mean over their positions.
    """
    count = round(len(times) * (1 - HELD_OUT))
    if len(times) - count < 2:
        raise ValueError(f"{len(times)} networks are too few to learn a table and to prove it on others")
    fit = learn(space, population[:count], times[:count])
    offset, rows, notes = as_rows(space, fit)
    table = LatencyTable(
        space.name, device, rows, grain(offset), None, {"model": "learned from whole networks", "notes": notes}
    )
    fixed, priced = table.rows(space)
    held = Additive(fixed, priced).predict(population[count:])
    measured = times[count:]
    errors = Errors.of(held, measured)
    margin = max(0.0, float(np.quantile(measured / held - 1, 0.9)))
    notes.append("the source times each network once, so its noise ceiling is unknown")
    proof = Proof(len(measured), count, errors, errors, None, margin)
    networks = tuple(
        {
            "arch": space.decode(genotype).id,
            "role": "held_out",
            "measured_ms": float(ms),
            "spread_ms": 0.0,
            "raw_ms": float(estimate),
            "estimate_ms": float(estimate),
        }
        for genotype, ms, estimate in list(zip(population[count:].tolist(), measured, held, strict=True))[:200]
    )
    return LatencyTable(table.space, device, table.rows_, table.offset_ms, proof, table.calibration, networks)
