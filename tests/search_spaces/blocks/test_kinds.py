"""What every block kind must be, whatever it is, and a kind of one's own in every place that asks a layer something."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nas.latency.tables.table import entries
from nas.methods.supernets.batched_candidates import plan_fusion
from nas.methods.supernets.masked_plan import masked_plan
from nas.methods.supernets.mixture import PathWeights, Supernet
from nas.methods.supernets.nested_candidates import nest_of
from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.blocks import (
    KINDS,
    Classifier,
    ConvBNAct,
    DepthwiseSeparable,
    FusedBottleneck,
    InvertedResidual,
    Layer,
    LinearBottleneck,
    PooledConv,
    ResidualBlock,
    Skip,
    SqueezeExcite,
    UniversalBottleneck,
    layer_from_dict,
    register,
)
from search_spaces.blocks import layer as layer_module
from search_spaces.blocks.parts.masks import ChannelMasks
from search_spaces.costs import Shape
from search_spaces.from_card import from_card
from search_spaces.space import LayerwiseSpace, Position
from tests.test_docs import ROOT, blocks

own_file: Any = types.ModuleType("my_blocks")  # the example of docs/extending.md
sys.modules["my_blocks"] = own_file
exec(next(code for code in blocks("docs/extending.md", "python") if code.startswith("# my_blocks.py")), vars(own_file))
HalfCheap = own_file.HalfCheap


@pytest.fixture(autouse=True)
def own_file_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests forget modules that they import from folders of their own."""
    monkeypatch.setitem(sys.modules, "my_blocks", own_file)


SHAPE = Shape(16, 7, 7)
SE = SqueezeExcite(norm=True, gate="hard_sigmoid")
LAYERS: list[Layer] = [
    ConvBNAct(24, 5, 2),
    ConvBNAct(16, groups=2, act=""),
    ConvBNAct(24, 5, 2, padding="tensorflow"),
    ConvBNAct(16, (3, 5), groups=16),
    ConvBNAct(24, (10, 4), 2, padding="tensorflow"),
    ConvBNAct(24, 4, padding="tensorflow"),
    InvertedResidual(16, 5, 1, 3, se=SE),
    InvertedResidual(24, 3, 2, 1, groups=2, expand_at_1=False, num_depthwise=2),
    InvertedResidual(24, 5, 2, se=SE, padding="tensorflow"),
    DepthwiseSeparable(16, 3, 1, se=SE),
    DepthwiseSeparable(24, 5, 2, act="hard_swish"),
    DepthwiseSeparable(24, 3, 2, act="hard_swish", linear=False, padding="tensorflow"),
    LinearBottleneck(20, se=SqueezeExcite(1 / 12, of="expanded", divisor=1, norm=True)),
    LinearBottleneck(16, expand_ratio=1),
    Skip(16),
    Skip(24, 2),
    PooledConv(32, bias=True),
    Classifier(10),
    PooledConv(32, norm=True),
    ConvBNAct(16, 3, act="hard_swish", residual=True),
    FusedBottleneck(16, se=SE),
    FusedBottleneck(24, 5, 2, 3),
    UniversalBottleneck(16, 5, 3, se=SE),
    UniversalBottleneck(24, 3, 5, 2, layer_scale=1e-5),
    UniversalBottleneck(16, 0, 5, layer_scale=0.1),
    UniversalBottleneck(16, 0, 3, 1, 2, act="hard_swish"),
    UniversalBottleneck(24, 5, 0, 2, residual=False),
    UniversalBottleneck(16, 0, 0, act="silu", se=SE),
    ResidualBlock(16),
    ResidualBlock(24, 5, 2),
    ResidualBlock(24, act="hard_swish", projection="bias"),
    ResidualBlock(24, 3, 2, projection="bias", padding="tensorflow"),
    HalfCheap(16),
    HalfCheap(24, 5, 2),
]
CARD: dict[str, Any] = {
    "stem": {"out_channels": 8, "kernel_size": 3, "stride": 2},
    "head": {"out_channels": 32},
    "resolution": 16,
    "num_classes": 10,
    "stages": [
        {
            "channels": 8,
            "depth": 2,
            "blocks": [
                {"kind": "half_cheap", "kernel_size": [1, 3]},
                {"kind": "inverted_residual", "expand_ratio": [1, 3]},
                {"kind": "skip"},
            ],
        }
    ],
}


def test_all_kinds_are_looked_at() -> None:
    assert {layer.kind for layer in LAYERS} == set(KINDS)
    with pytest.raises(ValueError, match="needs a `kind` of its own, got 'skip'; search_spaces.blocks.skip has that"):
        register(type("Other", (Skip,), {}))


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_data_and_module_agree(layer: Layer) -> None:
    module = layer.build(SHAPE, 0.1).eval()
    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = module(x)
    assert Shape(*out.shape[1:], *(1,) * (4 - out.ndim)) == layer.out_shape(SHAPE)
    assert sum(p.numel() for p in module.parameters()) == layer.cost(SHAPE).params
    assert layer_from_dict(json.loads(json.dumps(layer.to_dict()))) == layer
    assert getattr(module, "has_residual", False) == layer.has_residual(SHAPE)
    assert layer.is_identity(SHAPE) == isinstance(module, nn.Identity) == (layer.table_row(SHAPE) is None)
    same = layer.table_row(SHAPE)
    if same is not None:
        assert same.cost(SHAPE) == layer.cost(SHAPE) and same.table_row(SHAPE) == same
        twin = same.build(SHAPE).eval()
        twin.load_state_dict(dict(zip(twin.state_dict(), module.state_dict().values(), strict=True)))
        with torch.no_grad():
            assert torch.equal(twin(x), out)
    if hasattr(module, "branch") and layer.has_residual(SHAPE):
        with torch.no_grad():
            assert torch.equal(module.branch(x) + x, out)
    again = pickle.loads(pickle.dumps(module))
    with torch.no_grad():
        assert torch.equal(again(x), out)


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if hasattr(layer.build(SHAPE), "masked")], ids=str)
def test_unmasked_is_the_branch(layer: Layer) -> None:
    if getattr(layer, "groups", 1) > 1:
        with pytest.raises(ValueError, match="grouped convolutions do not nest"):
            layer.inner_widths(SHAPE)
        return
    module = layer.build(SHAPE).eval()
    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = module.masked(x, ChannelMasks())
        if layer.has_residual(SHAPE):
            y = torch.cat([y[:, : SHAPE.channels] + x, y[:, SHAPE.channels :]], dim=1)
        y = getattr(module, "behind_shortcut", nn.Identity())(y)
        torch.testing.assert_close(y, module(x))


# Of archs as they were before kinds got further fields.
IDS = {
    "fbnetc_100": "ca76a12b4e",
    "fbnet_b": "a35db032f8",
    "fbnet_c_pytorch": "c022d2ff05",
    "fbnetv3_g": "7eb785eb19",
    "spnasnet_100": "9fb3906154",
    "mobilenetv2_140": "163add0d06",
    "rexnet_150": "ceead6f804",
}


def test_later_fields_change_no_file_of_old() -> None:
    assert {name: zoo.published(name).id for name in IDS} == IDS
    for layer in (ConvBNAct(8), InvertedResidual(8), DepthwiseSeparable(8)):
        assert not {"padding", "linear"} & set(layer.to_dict())
    assert DepthwiseSeparable(8, linear=False).to_dict()["linear"] is False


def test_masks_of_a_block_with_an_activation_behind_it() -> None:
    """A mask scales what the block gives, behind the activation; channels of mask 0 give nothing."""
    layer = DepthwiseSeparable(24, act="hard_swish", linear=False)
    module = layer.build(SHAPE).eval()
    nn.init.uniform_(module.bn2.bias)
    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([1.0] * 8 + [0.5] * 8 + [0.0] * 8)
    with torch.no_grad():
        torch.testing.assert_close(module.masked(x, ChannelMasks(mask)), module(x) * mask[:, None, None])


def test_the_page_says_what_kinds_take_part_in() -> None:
    table = (ROOT / "docs" / "extending.md").read_text().partition("| kind | is | nests | has masks |\n")[2]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.partition("\n\n")[0].splitlines()[1:]]
    said = {kind.strip("`"): (nests, masks) for kind, _, nests, masks in rows}
    assert set(said) == {kind for kind, layer in KINDS.items() if layer.in_cards} - {"half_cheap"}
    for kind, (nests, masks) in said.items():
        layers = [layer for layer in LAYERS if layer.kind == kind]
        assert any(layer.nests for layer in layers) == nests.startswith("with"), kind
        assert KINDS[kind].leaves_out or all(hasattr(x.build(SHAPE), "masked") for x in layers) == (masks != "no"), kind


def test_reading_a_layer_says_what_is_wrong() -> None:
    for data, words in (
        ({"kind": "skip"}, "skip is incomplete: it needs out_channels"),
        (
            {"kind": "skip", "out_channels": 8, "width": 1},
            "skip has no field 'width'; it has out_channels, stride, act",
        ),
        ({"kind": "skip", "out_channels": True}, "skip: out_channels must be a whole number, got True"),
        ({"kind": "classifier", "num_classes": 2.5}, "classifier: num_classes must be a whole number, got 2.5"),
        ({"kind": "depthwise_separable", "out_channels": 8, "se": 3}, "se must be the fields of SqueezeExcite or null"),
        (
            {"kind": "depthwise_separable", "out_channels": 8, "se": {"ratio": "a"}},
            "se: ratio must be a number, got 'a'",
        ),
        (
            {"kind": "conv_bn_act", "out_channels": 8, "padding": "valid"},
            "conv_bn_act: unknown padding 'valid'; one of symmetric, tensorflow",
        ),
        (
            {"kind": "inverted_residual", "out_channels": 8, "expand_ratio": float("nan")},
            "expand_ratio must be a number",
        ),
    ):
        with pytest.raises(ValueError) as caught:
            layer_from_dict(data)
        assert words in str(caught.value)


def test_data_needs_no_torch() -> None:
    code = "import sys, search_spaces.zoo, search_spaces.from_card; assert not {'torch', 'timm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_own_kind_in_a_space_a_table_and_a_supernet() -> None:
    space = from_card(**CARD)
    assert isinstance(space, LayerwiseSpace)
    rows = entries(space)
    assert len([layer for layer, _ in rows if layer.kind == "half_cheap"]) == 2
    torch.manual_seed(0)
    supernet = Supernet(space, fused=True).eval()
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        for genotype in ((0, 1), (2, 3), (4, 1)):
            arch = space.decode(genotype)
            assert Arch.from_json(arch.to_json()) == arch and space.encode(arch) == genotype
            alone = supernet.extract(genotype)
            assert (
                sum(p.numel() for p in alone.parameters()) == arch.params == int(space.count("params")([genotype])[0])
            )
            torch.testing.assert_close(supernet(x, PathWeights.one_hot(genotype)), alone(x))
        weights = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25])
        every = PathWeights((tuple(range(5)),) * 2, (weights,) * 2)
        mixed = supernet(x, every)
        supernet.fused = False
        torch.testing.assert_close(mixed, supernet(x, every))
    position = space.positions[0]
    plan = plan_fusion(position.candidates, position.shape)
    assert plan is not None and plan.rest == (0, 1) and plan.identities == (4,)


def test_kinds_of_installed_packages_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "installed_blocks.py").write_text(
        "from search_spaces.blocks import Skip, register\n"
        "register(type('Installed', (Skip,), {'kind': 'installed', '__module__': __name__}))\n"
    )
    package = tmp_path / "installed_blocks-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: installed_blocks\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[search_spaces.blocks]\nmine = installed_blocks\n")
    monkeypatch.syspath_prepend(tmp_path)
    layer_module._load_installed_kinds.cache_clear()
    try:
        assert layer_from_dict({"kind": "installed", "out_channels": 8}).kind == "installed"
        with pytest.raises(ValueError, match="unknown layer kind 'other'"):
            layer_from_dict({"kind": "other"})
    finally:
        KINDS.pop("installed", None)


def test_where_own_kind_takes_no_part_it_is_said() -> None:
    position = Position("here", (HalfCheap(16), HalfCheap(16, 5)), SHAPE)
    with pytest.raises(ValueError, match="'half_k3' is not a slice of a larger block"):
        nest_of(position)
    stage = {"channels": [8, 16], "depth": 1, "blocks": [{"kind": "half_cheap"}]}
    space = from_card(**{**CARD, "stages": [stage]})
    with pytest.raises(ValueError, match=r"stage 1: half_cheap blocks do not run under channel masks"):
        masked_plan(space)
    bare = {"channels": 8, "stride": 2, "depth": 1, "blocks": [{"kind": "universal_bottleneck", "middle_kernel": 0}]}
    with pytest.raises(ValueError, match="stage 1: universal_bottleneck: 1x1 convolutions alone have stride 1, got 2"):
        from_card(**{**CARD, "stages": [bare]})
    mixed = {**stage, "channels": 8, "blocks": [{"kind": "half_cheap"}, {"kind": "linear_bottleneck"}]}
    with pytest.raises(ValueError, match="linear_bottleneck does not mix with half_cheap in one network"):
        from_card(**{**CARD, "stages": [mixed]})
