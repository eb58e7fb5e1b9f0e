"""The proof as a picture: estimated against measured milliseconds of whole networks."""

from __future__ import annotations

from pathlib import Path

from nas.latency.tables.table import LatencyTable
from nas.runs.files import write_atomic

WIDE = 30  # times that span more than this factor are drawn on logarithmic axes


def scatter(table: LatencyTable, path: str | Path) -> Path:
    """Write a PNG of `table`'s held-out networks: raw sums and calibrated estimates against measured times.

    Raises `ValueError` for a table without networks.
    """
    nets = [net for net in table.networks if net["role"] == "held_out"]
    if not nets or table.proof is None:
        raise ValueError("the table was not proven on whole networks, so there is nothing to plot")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    measured = [net["measured_ms"] for net in nets]
    errors = [net["spread_ms"] for net in nets]
    low, high = min(measured), max(measured)
    axes.plot([low, high], [low, high], color="0.6", linewidth=1, label="exact")
    axes.plot([low, high], [1.05 * low, 1.05 * high], color="0.8", linewidth=0.8, linestyle="--", label="5%")
    axes.plot([low, high], [0.95 * low, 0.95 * high], color="0.8", linewidth=0.8, linestyle="--")
    axes.scatter(measured, [net["raw_ms"] for net in nets], s=12, color="tab:orange", label="sum of blocks (raw)")
    axes.errorbar(
        measured,
        [net["estimate_ms"] for net in nets],
        xerr=errors,
        fmt="o",
        markersize=3.5,
        elinewidth=0.8,
        color="tab:blue",
        label="table (calibrated)",
    )
    if high > WIDE * low:
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set_xlabel("measured, ms")
    axes.set_ylabel("estimated, ms")
    axes.set_title(
        f"{table.space} on {table.device.key}\n{len(nets)} held-out networks, "
        f"mean error {table.proof.calibrated.mape_percent:.1f}%",
        fontsize=9,
    )
    axes.legend(fontsize=8)
    return write_atomic(path, lambda temporary: figure.savefig(temporary, dpi=120, format="png"))
