"""The code on a model card: timm alone builds the network of its own blocks, and it computes the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.networks import model_folder
from nas.networks.creation import create_model
from nas.networks.timm_alone.code import code_of
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, DepthwiseSeparable, InvertedResidual
from search_spaces.blocks.squeeze_excite import SqueezeExcite
from search_spaces.families.fbnet import fbnet
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.families.mobile.space import mobile
from search_spaces.families.mobilenetv2.space import mobilenetv2
from search_spaces.families.rexnet.space import rexnet
from search_spaces.families.single_path import single_path
from search_spaces.space import SearchSpace

OURS = ("nas", "search_spaces", "predictors")
SPACES: dict[str, Callable[[], SearchSpace]] = {
    "fbnet": lambda: fbnet(32, 10, 1, width=0.25, head_channels=32, candidates=("k3_e1", "k5_e3", "k3_e6")),
    "single_path": lambda: single_path(64, 10, width=0.25, head_channels=32, se_ratios=(0, 0.25)),
    "fbnetv3": lambda: fbnetv3(64, 10, width=0.25, depth=0.3, head_channels=32),
    "mobilenetv2": lambda: mobilenetv2(32, 10, widths=(0.25, 0.375), depths=(1,), head_channels=32),
    "mobile": lambda: mobile(32, 10),
}


def made(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """The model of `code`, run beside the model folder."""
    monkeypatch.chdir(folder.parent)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    model: torch.nn.Module = names["model"]
    assert type(model).__module__.startswith("timm.models.")
    return model.eval()


@pytest.mark.parametrize("space", SPACES)
def test_it_computes_the_same(space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = SPACES[space]()
    archs = [drawn.decode(genotype) for genotype in drawn.sample(30, np.random.default_rng(0))]
    network = next(net for arch in archs if code_of(net := create_model(arch, batch_norm_eps=1e-4), '"w"')).train()
    network(torch.randn(8, *network.arch.input_shape))  # so that batch norms do something
    folder = model_folder.write(tmp_path / "net", network.eval())
    (code,) = (
        part.split("```")[0]
        for part in (folder / "README.md").read_text().split("```python\n")
        if "load_state_dict" in part
    )
    assert not any(f"import {name}" in code or f"from {name}" in code for name in OURS)
    x = torch.randn(3, *network.arch.input_shape)
    with torch.no_grad():
        torch.testing.assert_close(made(code, folder, monkeypatch)(x), network(x), atol=1e-6, rtol=1e-5)


BLOCK = InvertedResidual(16, 3, 2, 3.0)


@pytest.mark.parametrize(
    ("block", "has"),
    [
        (BLOCK, True),
        (DepthwiseSeparable(16, linear=False), True),
        (ConvBNAct(16, 5, 2), True),
        (InvertedResidual(16, 3, 2, 3.0, groups=2), False),
        (InvertedResidual(16, 3, 2, 3.0, num_depthwise=2), False),
        (InvertedResidual(16, 3, 2, 1.0, expand_at_1=False), False),
        (InvertedResidual(16, 3, 2, 3.0, padding="tensorflow"), False),
        (InvertedResidual(16, 3, 2, 3.0, se=SqueezeExcite(norm=True)), False),
    ],
    ids=str,
)
def test_blocks_that_timm_has_not_are_known(block: Any, has: bool) -> None:
    arch = Arch(16, ((ConvBNAct(16, 3, 2),), (block,), (ConvBNAct(32), Classifier(10))))
    assert (code_of(create_model(arch), '"w"') is not None) is has


@pytest.mark.parametrize(
    "stages",
    [
        ((ConvBNAct(16, 5, 2),), (BLOCK,), (ConvBNAct(32), Classifier(10))),  # the stem
        ((ConvBNAct(16, 3, 2),), (InvertedResidual(16), BLOCK), (ConvBNAct(32), Classifier(10))),  # a later stride
        ((ConvBNAct(16, 3, 2),), (BLOCK,), (ConvBNAct(32, act="silu"), Classifier(10))),  # two activations
        ((ConvBNAct(16, 3, 2),), *[(BLOCK,)] * 5, (ConvBNAct(32), Classifier(10))),  # stride 64
    ],
)
def test_networks_that_timm_has_not_are_known(stages: Any) -> None:
    assert code_of(create_model(Arch(128, stages)), '"w"') is None


def test_rexnets_are_of_no_blocks_of_its() -> None:
    space = rexnet(32, 10)
    assert code_of(create_model(space.decode(space.sample(1, np.random.default_rng(0))[0])), '"w"') is None
