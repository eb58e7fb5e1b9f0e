"""`python -m nas.export`: a network as a file for a runtime, checked against torch and timed."""

from __future__ import annotations

from pathlib import Path

from nas.data.card import check_root
from nas.export.formats import format_named
from nas.export.settings import EIGHT_BITS, OTHER_WEIGHTS, RANDOM, TYPES, check_calibrated
from nas.latency.devices import check_card
from nas.networks.location import check_has_weights, check_weights, locate
from nas.terminal.entry import DictConfig, check_types, entry, plain
from nas.terminal.reached_devices import given_keys, with_device_of_run


@entry("export")
def main(cfg: DictConfig) -> None:
    check_types(cfg, TYPES)
    chosen = format_named(cfg.format)
    chosen.check()
    if cfg.output is not None:
        chosen.check_output(Path(cfg.output))
    check_has_weights(cfg.arch, cfg.checkpoint, OTHER_WEIGHTS)
    locate(cfg.arch)
    if cfg.checkpoint != RANDOM:
        check_weights(cfg.checkpoint)
    settings = plain(cfg)
    check_root(settings.get("data"))
    check_card(settings["device"], measured=settings["measure"])
    if settings["device"].get("dtype") == EIGHT_BITS:
        check_calibrated(settings.get("data"))
    from nas.export.run import ExportSetup, run_export  # here: torch takes seconds

    run_export(ExportSetup.from_config(with_device_of_run(settings, given_keys())))


if __name__ == "__main__":
    main()
