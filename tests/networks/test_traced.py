"""Tools that record a network's graph take ours: torch.fx, torchvision's feature extractor, TorchScript, export."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from nas.networks.creation import create_model
from nas.terminal.configuration.composition import CONF
from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.families.fbnet import fbnet
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.families.mobile.space import mobile
from search_spaces.families.mobilenetv2.space import mobilenetv2, mobilenetv2_layerwise
from search_spaces.families.rexnet.space import rexnet
from search_spaces.families.single_path import single_path
from search_spaces.space import SearchSpace
from tests.search_spaces.every_kind import every_kind

pytestmark = [pytest.mark.filterwarnings("ignore:.torch.jit:")]

SPACES: dict[str, Callable[[], SearchSpace]] = {
    "fbnet": lambda: fbnet(32, 10, width=0.25, head_channels=64),
    "single_path": lambda: single_path(32, 10, width=0.25, head_channels=64, se_ratios=(0, 0.25)),
    "fbnetv3": lambda: fbnetv3(32, 10, width=0.25, depth=0.3, head_channels=64),
    "mobilenetv2": lambda: mobilenetv2(32, 10, widths=(0.25, 0.375), depths=(1,), head_channels=64),
    "mobilenetv2_layerwise": lambda: mobilenetv2_layerwise(32, 10, width=0.25, head_channels=64),
    "rexnet": lambda: rexnet(32, 10, widths=(0.1, 0.2), squeezes=("none", "all")),
    "mobile": lambda: mobile(32, 10),
}


def check(net: nn.Module) -> None:
    """Every recording computes what `net` does in the mode it was recorded in, bit for bit; in training it trains."""
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    net.train()
    recorded = torch.fx.symbolic_trace(net)
    found = recorded(x)
    assert torch.equal(found, net(x))
    found.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    net.eval()
    with torch.inference_mode():
        logits, (_, pyramid) = net(x), net.forward_intermediates(x)
        assert torch.equal(torch.jit.script(net)(x), logits)
        assert torch.equal(torch.fx.symbolic_trace(net)(x), logits)
        taps = {info["module"]: str(i) for i, info in enumerate(net.feature_info)}
        # The stem of some is a pair of modules; a stage of which nothing is left has no node.
        taps = {
            name: key for name, key in taps.items() if "." in name and len(list(net.get_submodule(name).children()))
        }
        maps = create_feature_extractor(net, taps)(x)
        assert len(taps) > 1 and all(torch.equal(maps[key], pyramid[int(key)]) for key in taps.values())


@pytest.mark.slow  # the found networks below have the same blocks
@pytest.mark.parametrize("name", zoo.FAMILY_OF)
def test_published_networks_can_be_recorded(name: str) -> None:
    check(timm.create_model("nas_net", arch=name, num_classes=3, scriptable=True))


def test_every_space_is_here() -> None:
    assert set(SPACES) == {card.stem for card in (CONF / "space").glob("*.yaml")} - {"from_card"}


@pytest.mark.parametrize("space", SPACES)
def test_found_networks_can_be_recorded(space: str) -> None:
    made = SPACES[space]()
    arch = made.decode(made.sample(1, np.random.default_rng(0))[0])
    check(timm.create_model("nas_net", arch=arch, scriptable=True))


def test_every_kind_of_block_can_be_recorded_and_exported() -> None:
    made = every_kind(32, 10, 3)
    first, _, third = made.cardinalities
    for gene in range(0, first - 1, 2):  # the last one, a skip, beside another block
        check(create_model(made.decode((gene + 1, gene, gene % third))))
    exported = Arch(16, every_kind(16, 10, 3).decode((3, 6, 4)).stages)
    net, x = create_model(exported).eval(), torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(torch.export.export(net, (x,)).module()(x), net(x))


def test_a_network_in_training_can_be_exported() -> None:
    """Tiny maps, whose convolution has a second form; nothing of the recording is kept for the training after it."""
    arch = fbnet(16, 10, width=0.25).decode((1,) * len(fbnet(16, 10, width=0.25).variables))
    net, x = create_model(Arch(16, arch.stages)).train(), torch.randn(4, 3, 16, 16)
    torch.export.export(net, (x,))
    net(x).sum().backward()
