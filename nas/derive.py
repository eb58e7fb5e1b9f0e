"""`python -m nas.derive run=R budget.latency_ms=X count=N`: final networks from a finished search, no re-search."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nas import cards
from nas.cli import DictConfig, check_types, entry, plain, run_config
from nas.data.card import data_of
from nas.derivation import How, derive, log_probability
from nas.derive_candidates import derive_candidates
from nas.files import write_json, write_text
from nas.handover import read_probabilities
from nas.latency.device import Device
from nas.latency.measure import measure_arch_ms
from nas.latency.table import LatencyTable
from nas.next_command import train_command
from nas.problem import build_space, check_budget, resolve_budget
from nas.progress import log, phase, table
from search_spaces.space import SearchSpace


@entry("derive")
def main(cfg: DictConfig) -> None:
    check_types(
        cfg,
        {
            "run": str,
            "budget.latency_ms": float | None,
            "budget.macs": int | None,
            "budget.params": int | None,
            "budget.fraction": (float | None, 0, 1),
            "budget.margin": (float | None, 0),
            "how": How,
            "count": (int, 1),
            "use": (float, 0, 1),
            "measure": bool,
            "seed": int,
            "out": str | None,
        },
    )
    asked = plain(cfg)
    check_budget(asked["budget"]["latency_ms"])
    folder = Path(asked["run"])
    config = plain(run_config(asked["run"]))
    if not config.get("method"):
        raise ValueError(f"{folder}/config.yaml names no method: it is not the configuration of a search")
    if hasattr(cards.build(config["method"], "method", {}), "start"):
        derive_candidates(folder, config, asked)
        return
    for name in ("macs", "params"):
        if asked["budget"][name] is not None:
            raise ValueError(f"this run's method knows budget.latency_ms alone; leave out budget.{name}")
    space = space_of(config)
    probabilities = read_probabilities(folder, space)
    device: Device = cards.build(config["device"], "device", {})
    latency_table = LatencyTable.load(folder / "table.json", space, device)
    cost = latency_table.cost(space)
    latency_ms, fraction = asked["budget"]["latency_ms"], asked["budget"]["fraction"]
    if latency_ms is None and fraction is None:
        latency_ms, fraction = config["budget"]["latency_ms"], config["budget"]["fraction"]
    margin = latency_table.margin if asked["budget"]["margin"] is None else asked["budget"]["margin"]
    budget = resolve_budget(cost, latency_ms, fraction, margin)
    limit = budget.limit_ms if budget else None
    how, count, seed, use = (asked[key] for key in ("how", "count", "seed", "use"))
    genotypes = derive(probabilities, cost, limit, how, count, seed, use)
    estimates = cost(np.array(genotypes))
    measured: list[float | None] = [None] * len(genotypes)
    if asked["measure"]:
        with phase("measuring", len(genotypes), "network") as advance:
            for i, genotype in enumerate(genotypes):
                measured[i] = measure_arch_ms(space.decode(genotype), device, seed=asked["seed"]).median_ms
                advance(1, f"{measured[i]:.4g} ms")
    name = "derived" if budget is None else f"derived-{budget.asked_ms:.4g}ms"
    out = Path(asked["out"]) if asked["out"] else folder / name
    rows, records = [], []
    for i, (genotype, estimate, time_ms) in enumerate(zip(genotypes, estimates, measured, strict=True), start=1):
        arch = space.decode(genotype)
        path = write_text(out / ("arch.json" if i == 1 else f"arch-{i}.json"), arch.to_json())
        likelihood = log_probability(probabilities, genotype)
        records.append(
            {
                "file": path.name,
                "arch": arch.id,
                "genotype": list(genotype),
                "log_probability": likelihood,
                "asked_latency_ms": budget.asked_ms if budget else None,
                "estimated_latency_ms": float(estimate),
                "measured_latency_ms": time_ms,
                "params": arch.params,
                "macs": arch.macs,
            }
        )
        shown = "–" if time_ms is None else f"{time_ms:#.4g}"
        rows.append((path.name, f"{likelihood:.2f}", f"{estimate:#.4g}", shown, f"{arch.params:,}", f"{arch.macs:,}"))
    write_json(out / "derived.json", records)
    title = f"networks of {folder}" + (f" within {budget.asked_ms:.4g} ms on {device.key}" if budget else "")
    table(title, ("file", "log P", "estimated ms", "measured ms", "params", "MACs"), rows)
    if len(genotypes) < asked["count"]:
        log(f"NOTE: {asked['count']} were asked; the budget admits no more than these {len(genotypes)}")
    recipe = cards.build(config["recipe"], "recipe", {}) if config.get("recipe") else None
    log(f"files: {out}")
    log(train_command(out / "arch.json", config, recipe))


def space_of(config: dict) -> SearchSpace:
    """The space a run searched, rebuilt from its configuration."""
    resolution = config["space"].get("resolution") or config["data"].get("resolution")
    return build_space(config["space"], data_of(config["data"], resolution))


if __name__ == "__main__":
    main()
