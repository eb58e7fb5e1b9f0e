"""`python -m nas.latency space=S device=V`: measure a device, or make a table of what was measured elsewhere.

`action=kit run=R kit=K` and `action=import run=R kit=K`: have the found networks of a run measured elsewhere.
"""

from __future__ import annotations

from nas.latency.devices import check_card
from nas.latency.run import TYPES, LatencySetup, run_latency
from nas.terminal.entry import DictConfig, check_types, entry, plain, run_config, targets


@entry("latency")
def main(cfg: DictConfig) -> int:
    check_types(cfg, TYPES)
    check_card(plain(cfg)["device"], measured=cfg.action == "build", pin=cfg.pin)
    compares = cfg.action == "compare"  # that reads archs alone
    of_run = None if cfg.run is None or compares else plain(run_config(cfg.run, known=targets(cfg)))
    return 1 if run_latency(LatencySetup.from_config(plain(cfg), of_run)) else 0


if __name__ == "__main__":
    main()
