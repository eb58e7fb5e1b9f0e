"""`python -m nas.search space=S method=M data=D device=V budget.latency_ms=X`: from a device to a trained network."""

from __future__ import annotations

from typing import Any

from nas.derive.most_probable import How
from nas.search.run import run_search
from nas.search.setup import Latency, SearchSetup
from nas.terminal.entry import DictConfig, check_types, entry, plain

TYPES: dict[str, Any] = {
    "seed": int,
    "budget.latency_ms": float | None,
    "budget.macs": int | None,
    "budget.params": int | None,
    "budget.fraction": (float | None, 0, 1),
    "budget.margin": (float | None, 0),
    "budget.tolerance": (float, 0),
    "budget.rounds": (int, 1),
    "latency": Latency,
    "derive.how": How | None,
    "derive.count": (int, 1),
    "derive.use": (float, 0, 1),
    "train.enabled": bool,
    "train.inherit": bool,
    "tables": str,
    "arch": str | None,
}


@entry("search")
def main(cfg: DictConfig) -> int:
    check_types(cfg, TYPES)
    outcome = run_search(SearchSetup.from_config(plain(cfg)))
    return 1 if outcome.missed else 0


if __name__ == "__main__":
    main()
