"""A process that times an exported file under its own runtime: `python -m nas.export.timed_file <format> <folder>`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.export.formats import format_named
from nas.latency.measuring.kit_script import graph_workload
from nas.latency.measuring.network_time import FILE
from nas.latency.measuring.processes.sampling import MISTAKE, Request, answer_all
from nas.latency.measuring.timing import Workload, image, timed


def main(name: str, folder: Path) -> None:
    """Make the visits that stand on the standard input: to a file of the format `name`, beside graphs in `folder`."""
    chosen = format_named(name)

    def load(asked: Request, entry: Mapping[str, Any]) -> Workload:
        if entry["key"] != FILE:
            return graph_workload(folder, asked, entry)
        run, images = chosen.load(folder / entry["file"], asked["device"]["threads"]), image(tuple(entry["shape"]))
        return timed(lambda: run(images))

    gc.disable()
    answer_all(load)


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]))
    except ValueError as mistake:
        print(f"Error: {mistake}", file=sys.stderr)
        sys.exit(MISTAKE)
