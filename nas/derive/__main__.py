"""`python -m nas.derive run=R budget.latency_ms=X count=N`: final networks from a finished search, no re-search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.data.card import data_of
from nas.data.space import build_space
from nas.derive import most_probable as derivation
from nas.derive.budget import check_budget
from nas.derive.from_candidates import derive_candidates
from nas.derive.handover import Derivation, derive_probable, read_decided, read_probabilities
from nas.derive.most_probable import How
from nas.derive.request import Request, hand_over
from nas.methods.base import kind_of
from nas.runs.stored import record
from nas.terminal.configuration import cards
from nas.terminal.entry import DictConfig, check_types, entry, plain, run_config, targets, without_cards
from search_spaces.space import Genotype, SearchSpace


@entry("derive")
def main(cfg: DictConfig) -> int:
    check_types(
        cfg,
        {
            "run": str,
            "budget.latency_ms": float | None,
            "budget.macs": int | None,
            "budget.params": int | None,
            "budget.fraction": (float | None, 0, 1),
            "budget.margin": (float | None, 0),
            "budget.tolerance": (float, 0),
            "budget.rounds": (int, 1),
            "how": How | None,
            "count": (int, 1),
            "use": (float, 0, 1),
            "measure": bool,
            "seed": int,
            "out": str | None,
        },
    )
    asked = plain(without_cards(cfg))
    check_budget(asked["budget"]["latency_ms"])
    folder = Path(asked["run"])
    config = plain(run_config(asked["run"], known=targets(cfg)))
    if not config.get("method"):
        raise ValueError(f"{folder}/config.yaml names no method: it is not the configuration of a search")
    record(config, dict.fromkeys(("space", "data", "device", "budget"), dict), f"{folder}/config.yaml")
    method = cards.build(config["method"], "method", {})
    if kind_of(method) == "candidates":
        return derive_candidates(folder, config, asked)
    return _derive_supernet(folder, config, asked, method)


def _derive_supernet(folder: Path, config: dict[str, Any], asked: dict[str, Any], method: object) -> int:
    """Derive from the probabilities of a supernet, or the network that its search decided."""
    for name in ("macs", "params"):
        if asked["budget"][name] is not None:
            raise ValueError(f"this run's method knows budget.latency_ms alone; leave out budget.{name}")
    space = space_of(config)
    probabilities, decided = read_probabilities(folder, space), read_decided(folder, space)
    request = Request.of(folder, config, asked, space, space)
    assert request.cost is not None  # a supernet always has a table
    how = Derivation(
        derivation.own_how(method, asked["how"]),
        asked["use"],
        asked["count"],
        asked["budget"]["rounds"],
        asked["seed"],
    )
    derivation.check(how.how, how.count, how.use)
    derived = derive_probable(probabilities, decided, request.cost, request.clock, request.budgets.latency, how)
    recipe = cards.build(config["recipe"], "recipe", {}) if config.get("recipe") else None

    def facts(genotype: Genotype) -> dict[str, Any]:
        return {"log_probability": derivation.log_probability(probabilities, genotype)}

    return hand_over(request, derived, space, "log P", facts, lambda _: recipe)


def space_of(config: dict[str, Any]) -> SearchSpace:
    """The space a run searched, rebuilt from its configuration."""
    resolution = config["space"].get("resolution") or config["data"].get("resolution")
    return build_space(config["space"], data_of(config["data"], resolution))


if __name__ == "__main__":
    main()
