"""One self-contained page about a finished run: what was asked, found and measured, how sure the search was of each
layer, how training went, how far the latency table can be trusted, and how to repeat it. For a folder of runs (a
sweep): their accuracy-latency front."""

from __future__ import annotations

from pathlib import Path

from nas.terminal.entry import DictConfig, check_types, entry
from nas.terminal.progress import log


@entry("report")
def main(cfg: DictConfig) -> None:
    check_types(cfg, {"run": str | None, "png": bool})
    if cfg.run is None:
        raise ValueError("name the run directory, or a folder of runs: python -m nas.report run=runs/...")
    from nas.report.front_page import write_front
    from nas.report.front_rows import finished_runs
    from nas.report.run_page import write_report

    alone = (Path(cfg.run) / "config.yaml").exists() or not finished_runs(cfg.run)
    log(f"written: {(write_report if alone else write_front)(cfg.run, cfg.png)}")


if __name__ == "__main__":
    main()
