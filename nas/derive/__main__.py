"""`python -m nas.derive run=R budget.latency_ms=X count=N`: final networks from a finished search, no re-search."""

from __future__ import annotations

from pathlib import Path

from nas.derive.settings import TABLE, TYPES, check_budgets, check_searched, check_tabled
from nas.latency.devices import check_card
from nas.networks.location import check_teacher
from nas.terminal.entry import DictConfig, check_types, entry, plain, run_config, say_kept, targets, without_cards
from nas.terminal.reached_devices import check_reached


@entry("derive")
def main(cfg: DictConfig) -> int:
    check_types(cfg, TYPES)
    asked = plain(without_cards(cfg)) | {"device": plain(cfg.device) if "device" in cfg else None}
    check_budgets(asked["budget"])
    check_searched(Path(asked["run"]))
    if not asked["device"] and not (Path(asked["run"]) / TABLE).exists():
        check_tabled(Path(asked["run"]), asked["budget"])
    check_card(asked["device"], measured=asked["measure"])
    check_teacher(asked["teacher"], asked["teacher_weights"])
    known = run_config(asked["run"], known=targets(cfg))
    say_kept(cfg, known)
    stored = plain(known)
    from nas.derive.run import run_derivation  # here: torch takes seconds, and mistakes are found before
    from nas.derive.setup import DeriveSetup, FinishedSearch

    if asked["measure"] and not asked["device"]:
        check_reached(asked["run"], stored)
    search = FinishedSearch.from_config(Path(asked["run"]), stored)
    return 1 if run_derivation(DeriveSetup.from_config(search, asked)).missed else 0


if __name__ == "__main__":
    main()
