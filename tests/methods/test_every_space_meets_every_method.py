"""Each space with each method: within the budget where the method applies, one clear line where it does not."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from nas.data.digits import digits
from nas.derive.most_probable import Derivation, derive
from nas.methods.base import Task
from nas.networks.network import build_network
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import compose
from nas.train.accelerator import make_accelerator
from search_spaces.families.fbnet import fbnet
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.families.mobile.space import mobile
from search_spaces.families.mobilenetv2.space import mobilenetv2, mobilenetv2_layerwise
from search_spaces.families.rexnet.space import rexnet
from search_spaces.families.single_path import single_path
from search_spaces.from_card import from_card
from search_spaces.pricing.budgets import Feasible, Limit
from search_spaces.space import SearchSpace
from tests.search_spaces.every_kind import every_kind

BLOCKS = [{"kind": "inverted_residual", "kernel_size": [3, 5], "expand_ratio": [2, 3]}, {"kind": "skip"}]
UIB = {"kind": "universal_bottleneck", "start_kernel": 3, "middle_kernel": [3, 5], "expand_ratio": [2, 4]}
CARD = {"stem": {"out_channels": 8, "kernel_size": 3}, "head": {"out_channels": 32}}
SPACES = {
    "fbnet": lambda: fbnet(8, 10, 1, width=0.25, head_channels=32, candidates=("k3_e1", "k5_e3", "skip")),
    "single_path": lambda: single_path(8, 10, 1, width=0.2, head_channels=32),
    "fbnetv3": lambda: fbnetv3(8, 10, 1, width=0.25, depth=0.3, head_channels=32),
    "mobilenetv2": lambda: mobilenetv2(8, 10, 1, (0.25, 0.375), (1,), head_channels=32),
    "mobilenetv2, widths alone": lambda: mobilenetv2(8, 10, 1, (0.25, 0.375), (1,), (3,), (6,), head_channels=32),
    "mobilenetv2_layerwise": lambda: mobilenetv2_layerwise(8, 10, 1, 0.25, head_channels=32),
    "rexnet": lambda: rexnet(8, 10, 1, widths=(0.05, 0.1, 0.2), firsts=(8, 16)),
    "mobile": lambda: mobile(8, 10, 1),
    "mobile, by block": lambda: mobile(8, 10, 1, choose="block"),
    "mobile, one stride": lambda: mobile(8, 10, 1, stem_strides=(1,)),
    "from_card": lambda: from_card([{"channels": 16, "depth": 4, "blocks": BLOCKS}], **CARD, **SMALL_IMAGES),
    "from_card, every kind": every_kind,
    "from_card, universal bottlenecks": lambda: from_card(
        [{"channels": 8, "depth": 3, "blocks": [UIB, {"kind": "skip"}]}], **CARD, **SMALL_IMAGES
    ),
    "from_card, widths": lambda: from_card(
        [{"channels": [8, 16], "depth": [1, 2], "stride": 2, "blocks": BLOCKS[:1]}], **CARD, **SMALL_IMAGES
    ),
}
SMALL_IMAGES: dict[str, Any] = {"resolution": 8, "num_classes": 10, "in_channels": 1}
PROPOSALS: dict[str, dict[str, Any]] = {
    "random": {},
    "regularized_evolution": {"population_size": 6, "sample_size": 3},
    "tpe": {"startup_candidates": 4},
    "nsga2": {"population_size": 6},
    "predictor": {"initial": 6, "pool_size": 64, "acquisition_evaluations": 200},
}
EPOCHS = {"epochs": 2, "warmup_epochs": 1, "batch_size": 40, "theta_passes": 1}  # a step each
SUPERNETS: dict[str, tuple[str, dict[str, Any]]] = {
    "dnas, soft": ("dnas", {"mode": "soft"}),
    "dnas, hard": ("dnas", {"mode": "hard", "weight_optimizer": "sgd"}),
    "single_path": ("single_path", {"weight_optimizer": "sgd"}),
    "masking": ("masking", {}),
}
HARD = ("fbnet", "rexnet", "mobile", "from_card, every kind")  # it is the same supernet as the soft one's
FULL = digits(8)
DATA = dataclasses.replace(FULL, train=FULL.train.subset(torch.arange(50)))


@cache
def space_of(name: str) -> SearchSpace:
    return SPACES[name]()


@cache
def settings_of(card: str) -> DictConfig:
    found: DictConfig = compose("search", [f"method={card}", "predictor=random_forest"])["method"]
    return found


def method_of(card: str, changes: dict[str, Any]) -> Any:
    return cards.build({**settings_of(card), **changes}, "method", {})


def limit_of(space: SearchSpace) -> Limit:
    """Half of the reachable range of multiply-adds, in 10,000, above 1 as milliseconds would be."""
    cost = space.cost(lambda layer, shape: layer.cost(shape).macs / 1e4, 1.0)
    low, high = cost.reachable()
    assert low < high
    return Limit("macs", cost, (low + high) / 2)


def applies(method: str, space: str) -> bool:
    known = {
        "masking": ("mobilenetv2, widths alone", "rexnet"),
        "single_path": ("single_path", "mobilenetv2_layerwise", "from_card", "from_card, universal bottlenecks"),
        "dnas": tuple(name for name in SPACES if name not in ("mobile", "mobile, by block")),  # two strides of the stem
    }
    return space in known[method]


@pytest.mark.parametrize("space_name", SPACES)
@pytest.mark.parametrize("name", PROPOSALS)
def test_candidates_are_within_the_budget_and_can_be_built(space_name: str, name: str) -> None:
    space = space_of(space_name)
    limit = limit_of(space)
    proposal = method_of(name, PROPOSALS[name]).start(Feasible(space, [limit]), 0)
    for _ in range(3):
        population = proposal.ask(4)
        assert (limit.cost(population) <= limit.limit).all()
        macs = np.array([space.decode(genotype).macs for genotype in population])
        proposal.tell(population, -np.abs(macs / macs.max() - 0.8))
    (best,) = proposal.best()
    arch = space.decode(best)
    with torch.no_grad():
        assert build_network(arch).eval()(torch.zeros(1, *arch.input_shape)).shape == (1, 10)


@pytest.mark.parametrize(
    ("name", "space_name"),
    [(name, space) for name in SUPERNETS for space in SPACES if name != "dnas, hard" or space in HARD],
)
def test_supernets_where_they_apply(name: str, space_name: str, tmp_path: Path) -> None:
    space = space_of(space_name)
    method = method_of(SUPERNETS[name][0], {**EPOCHS, **SUPERNETS[name][1]})
    if not applies(name.partition(",")[0], space_name):
        with pytest.raises(ValueError, match=r"needs|slice|layer-wise|search"):
            method.check(space)
        return
    method.check(space)
    limit = limit_of(space)
    accelerator, checkpoint = make_accelerator("cpu"), tmp_path / "search.pt"
    task = Task(space, DATA, limit.cost, limit.limit, 0, accelerator, checkpoint, lambda epoch, record: None)
    result = method.search(task)
    (genotype,) = derive(result.probabilities, limit.cost, limit.limit, Derivation("budget", 0.5, 1, 1, 0))
    assert limit.cost(np.array([genotype]))[0] <= limit.limit
    assert result.inherit is not None
    network = result.inherit(genotype).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    assert sum(p.numel() for p in network.parameters()) == space.decode(genotype).params
