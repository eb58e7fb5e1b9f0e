"""`python -m nas.export`: a network as a file for a runtime, checked against torch and timed."""

from __future__ import annotations

from nas.data.card import check_root
from nas.export.formats import format_named
from nas.export.settings import TYPES
from nas.networks.location import locate
from nas.terminal.entry import DictConfig, check_types, entry, plain
from nas.terminal.reached_devices import given_keys, with_device_of_run


@entry("export")
def main(cfg: DictConfig) -> None:
    check_types(cfg, TYPES)
    format_named(cfg.format).check()
    locate(cfg.arch)
    check_root(plain(cfg).get("data"))
    from nas.export.run import ExportSetup, run_export  # here: torch takes seconds

    run_export(ExportSetup.from_config(with_device_of_run(plain(cfg), given_keys())))


if __name__ == "__main__":
    main()
