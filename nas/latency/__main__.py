"""`python -m nas.latency space=S device=V`: measure this device, or make a table of what was measured elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from nas.data.space import build_space
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.imports import FORMATS, Reading, import_file
from nas.latency.imports.layers import write_layers
from nas.latency.tables.table import LatencyTable, table_path
from nas.terminal import progress
from nas.terminal.configuration import cards
from nas.terminal.entry import DictConfig, check_types, entry, plain
from search_spaces.space import SearchSpace


@entry("latency")
def main(cfg: DictConfig) -> None:
    check_types(
        cfg,
        {
            "action": Literal["build", "kit", "import", "rows"],
            "tables": str,
            "seed": int,
            "refresh": bool,
            "pin": bool,
            "kit": str | None,
            "file": str | None,
            "format": Literal[tuple(FORMATS)] | None,
            "source": str | None,
            "unit": Literal["ms", "us", "s"] | None,
            "repair": Literal["none", "average"],
        },
    )
    config = plain(cfg)
    space = build_space(config["space"])
    device: Device = cards.build(config["device"], "device", {})
    effort: Effort = cards.build(config["effort"], "effort", {})
    if config["action"] == "rows":
        file = _given(config, "file")
        progress.log(
            f"{write_layers(space, file)} rows of {space.name} are in {file}: fill in their times and import it with "
            "action=import format=layers device.name=<what they are of>"
        )
        return
    if config["action"] == "kit":
        from nas.latency.kit import write_kit

        folder = write_kit(
            space, device, _given(config, "kit"), seed=config["seed"], effort=effort, command=f"space={space.name} ..."
        )
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20
        progress.log(f"{folder} ({size:.1f} MB) is ready: copy it to the device and run python measure.py in it")
        return
    started = time.perf_counter()
    if config["action"] == "build":
        from nas.latency.build import build_table

        table = build_table(
            space,
            device,
            config["tables"],
            seed=config["seed"],
            effort=effort,
            refresh=config["refresh"],
            pin=config["pin"],
        )
        path = table_path(config["tables"], space, device)
    else:
        table = _imported(config, space, device)
        path = Path(config["tables"]) / table.file_name
        if path.exists() and not config["refresh"]:
            raise ValueError(f"{path} exists; replace it with refresh=true, or name the device otherwise")
        table.save(path)
    show(table, path, time.perf_counter() - started)


def _imported(config: dict[str, Any], space: SearchSpace, device: Device) -> LatencyTable:
    if config["kit"] is not None and config["file"] is not None:
        raise ValueError("action=import takes either kit=... or file=..., not both")
    if config["kit"] is not None:
        from nas.latency.kit import import_kit

        return import_kit(config["kit"], space)
    names = ("format", "file")
    form, file = (_given(config, name) for name in names)
    return import_file(
        form,
        file,
        space=space,
        device=device,
        reading=Reading(config["source"], config["unit"], repair=config["repair"] == "average"),
    )


def _given(config: dict[str, Any], key: str) -> str:
    if config[key] is None:
        raise ValueError(f"action={config['action']} needs {key}=...")
    return str(config[key])


def show(table: LatencyTable, path: Path, seconds: float) -> None:
    """Print the proof, draw its plot beside the table, and say where both are."""
    from nas.latency.learning.predictor import MIN_NETWORKS, TABLE, fit_predictor
    from nas.latency.tables.plot import scatter

    progress.log(
        f"{len(table.rows_)} rows, and {offset_sentence(table.offset_ms)}; calibration: "
        f"{table.calibration.get('model', 'none')}"
    )
    for note in table.calibration.get("notes", []):
        progress.log(f"note: {note}")
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


def offset_sentence(offset_ms: float) -> str:
    """What `LatencyTable.offset_ms` means; below 0 it is no time but what blocks save by standing in one network."""
    if offset_ms >= 0:
        return f"{offset_ms:.4g} ms that every network takes beside them"
    return f"{-offset_ms:.4g} ms that every network saves, as its blocks are called together and not one by one"


if __name__ == "__main__":
    main()
