"""`python -m nas.search space=S method=M data=D device=V budget.latency_ms=X`: from a device to a trained network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.data.card import check_root, known_resolution
from nas.data.space import check_card as check_space
from nas.derive.settings import check_budgets
from nas.latency.devices import check_card as check_device
from nas.methods.base import is_supernet
from nas.networks.location import check_teacher, locate
from nas.search.references.request import check_names
from nas.search.settings import TYPES, check_latency
from nas.terminal.configuration import cards
from nas.terminal.entry import DictConfig, check_types, entry, plain


@entry("search")
def main(cfg: DictConfig) -> int:
    check_types(cfg, TYPES)
    settings = plain(cfg)
    check_budgets(settings.get("budget"))
    check_root(settings.get("data"))
    check_teacher(cfg.teacher, cfg.teacher_weights)
    if not cfg.resume:  # a run holds its own
        _check_cards(settings)
    from nas.search.run import run_search  # here: torch takes seconds, and mistakes are found before
    from nas.search.setup import SearchSetup
    from nas.search.several.together import end, join_all

    setup = SearchSetup.from_config(settings)
    if join_all(setup):
        return 0
    outcome = run_search(setup)
    end(setup)
    return 1 if outcome.missed else 0


def _check_cards(settings: Mapping[str, Any]) -> None:
    """Refuse a device, references or a space that cannot be, and a space that the method cannot search."""
    check_device(settings["device"], measured=settings["latency"] != "off")
    check_names(settings["references"]["names"] or ())
    if settings["arch"]:
        locate(settings["arch"])
        return
    accept = None
    if str(settings["method"]["_target_"]).startswith("nas."):
        method = cards.build(settings["method"], "method", {})
        check_latency(settings["latency"], settings["budget"], is_supernet(method))
        accept = method.check if is_supernet(method) else None
    check_space(settings["space"], known_resolution(settings["data"]), accept)


if __name__ == "__main__":
    main()
