"""`python -m nas.latency space=S device=V`: measure this device, or make a table of what was measured elsewhere."""

from __future__ import annotations

from nas.latency.run import TYPES, LatencySetup, run_latency
from nas.terminal.entry import DictConfig, check_types, entry, plain


@entry("latency")
def main(cfg: DictConfig) -> None:
    check_types(cfg, TYPES)
    run_latency(LatencySetup.from_config(plain(cfg)))


if __name__ == "__main__":
    main()
