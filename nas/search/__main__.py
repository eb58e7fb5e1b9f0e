"""`python -m nas.search space=S method=M data=D device=V budget.latency_ms=X`: from a device to a trained network."""

from __future__ import annotations

from nas.search.settings import TYPES, check_settings
from nas.terminal.entry import DictConfig, check_types, entry, plain


@entry("search")
def main(cfg: DictConfig) -> int:
    check_types(cfg, TYPES)
    settings = plain(cfg)
    check_settings(settings)
    from nas.search.run import run_search  # here: torch takes seconds, and mistakes are found before
    from nas.search.setup import SearchSetup
    from nas.search.several.together import end, join_all

    setup = SearchSetup.from_config(settings)
    if join_all(setup):
        return 0
    outcome = run_search(setup)
    end(setup)
    return 1 if outcome.missed else 0


if __name__ == "__main__":
    main()
