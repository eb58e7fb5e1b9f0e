"""A latency table in words for the terminal, and the plot of its proof."""

from __future__ import annotations

from pathlib import Path

from nas.latency.tables.table import LatencyTable
from nas.terminal import progress


def show(table: LatencyTable, path: Path, seconds: float) -> None:
    """Print the proof, draw its plot beside the table, and say where both are."""
    from nas.latency.learning.predictor import MIN_NETWORKS, TABLE, fit_predictor
    from nas.latency.tables.plot import scatter

    progress.log(
        f"{len(table.rows_)} rows, and {offset_sentence(table.offset_ms)}; calibration: "
        f"{table.calibration.get('model', 'none')}"
    )
    if table.interpolation is not None:
        progress.log(interpolation_sentence(table.interpolation))
    for note in table.calibration.get("notes", []):
        progress.log(f"NOTE: {note}")
    if table.fell_back is not None and table.fell_back.elsewhere:
        progress.log(f"NOTE: {table.fell_back.sentence()}")
    if table.proof is None:
        progress.log("not proven: there are no whole networks beside those it was made of to test it on")
    else:
        progress.table(f"proof on {table.proof.networks} networks that did not calibrate it", *table.proof.table())
        progress.log(table.proof.sentence())
        if table.proof.faults and len(table.networks) >= 2 * MIN_NETWORKS and "loo_mape_percent" in table.calibration:
            best = fit_predictor(table)
            found = best.sentence() if best.model != TABLE else "none does better than the table on this device"
            progress.log(f"regression on features of the network (nas.latency.learning.predictor): {found}")
        try:
            progress.log(f"plot: {scatter(table, path.with_suffix('.png'))}")
        except OSError as error:  # the table is all the same usable in a folder that cannot be written
            progress.log(f"no plot beside the table: {error}")
    progress.log(f"table: {path} ({progress.format_seconds(seconds)})")


def interpolation_sentence(found: dict[str, float]) -> str:
    """What `LatencyTable.interpolation` says, in words."""
    text = f"{found['rows']:,.0f} more rows are interpolated between these"
    if "left_out_mape_percent" in found:
        text += (
            f" ({found['share_percent']:.0f}% of the time of the networks below): each measured row is off by "
            f"{found['left_out_mape_percent']:.1f}% on average where it is left out"
        )
    return text


def offset_sentence(offset_ms: float) -> str:
    """What `LatencyTable.offset_ms` means; below 0 it is no time but what blocks save by standing in one network."""
    if offset_ms >= 0:
        return f"{offset_ms:.4g} ms that every network takes beside them"
    return f"{-offset_ms:.4g} ms that every network saves, as its blocks are called together and not one by one"
