"""The published networks are timm's, weight for weight, and cost what their cards say."""

from __future__ import annotations

import json
import warnings

import pytest
import timm
import torch

import nas
from nas.networks import model_folder, weights
from nas.networks.creation import create_model
from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.families.mobilenetv2.published import mobilenetv2
from search_spaces.families.rexnet.published import block_channels, rexnet

NAMES = (  # of networks that differ in width or depth alone, some
    *("fbnetc_100", "fbnetv3_b", "fbnetv3_g", "spnasnet_100"),
    *("mobilenetv2_035", "mobilenetv2_110d"),
    *("rexnet_100", "rexnetr_100"),
    *("mnasnet_small", "mnasnet_050", "semnasnet_050", "hardcorenas_a", "mobilenetv3_small_050"),
    *("mobilenetv3_large_075", "tf_mobilenetv3_small_minimal_100", "tf_mobilenetv3_large_075"),
    *("efficientnet_b0", "efficientnet_lite0", "tinynet_e", "lcnet_050"),
    *("mobilenetv4_conv_small_035", "mobilenetv4_conv_medium", "efficientnet_es", "efficientnetv2_rw_t"),
)
OTHERS = [name for name in zoo.FAMILY_OF if timm.is_model(name) and name not in NAMES]
PYRAMIDS = (
    "mnasnet_small",
    "hardcorenas_a",
    "tf_mobilenetv3_small_075",
    "efficientnet_lite0",
    "mobilenetv4_conv_small",
    "tinynet_e",
    "lcnet_035",
)
SIDE = 64


@pytest.fixture(autouse=True)
def without_initialisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random initialisation of large networks is most of the time, and timm's weights replace ours anyway."""
    monkeypatch.setattr("nas.networks.network.init_weights", lambda module: None)


@pytest.mark.parametrize("name", [*NAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_weights_and_outputs_are_timms(name: str) -> None:
    torch.manual_seed(0)
    theirs, ours = timm.create_model(name).eval(), create_model(name).eval()
    for module in theirs.modules():  # so that batch norms and the classifier do something
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    weights.load(ours, theirs.state_dict(), name)
    theirs.load_state_dict(ours.state_dict())  # and back
    x = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        features = theirs.forward_features(x)
        found = [ours(x), ours.forward_features(x), ours.forward_head(features, pre_logits=True)]
        expected = [theirs(x), features, theirs.forward_head(features, pre_logits=True)]
        found += ours.forward_intermediates(x, intermediates_only=True)
        expected += theirs.forward_intermediates(x, intermediates_only=True)
    for mine, other in zip(found, expected, strict=True):
        # Untrained nets of hard swishes give outputs of some hundredths.
        torch.testing.assert_close(mine, other, atol=1e-5 * min(1.0, float(other.abs().max())), rtol=1e-5)
    assert (ours.num_features, ours.head_hidden_size) == (theirs.num_features, theirs.head_hidden_size)
    for mine, other in zip(ours.feature_info, theirs.feature_info, strict=True):
        assert all(mine[key] == other[key] for key in ("num_chs", "reduction", "module"))
    assert sum(p.numel() for p in theirs.parameters()) == ours.arch.params
    assert ours.pretrained_cfg == theirs.pretrained_cfg
    ours.train()(x).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in ours.parameters())


@pytest.mark.parametrize("name", ["fbnetc_100", "fbnetv3_b", "rexnet_100", "mobilenetv2_140", *PYRAMIDS])
def test_feature_pyramid_is_timms(name: str) -> None:
    with torch.device("meta"):  # what is compared are shapes
        x = torch.empty(1, 3, SIDE, SIDE)
        for which in ({}, {"out_indices": (1, 3)}):
            theirs = timm.create_model(name, features_only=True, **which).eval()
            ours = create_model(name, features_only=True, **which).eval()
            with torch.no_grad():
                assert [f.shape for f in ours(x)] == [f.shape for f in theirs(x)]
            assert ours.feature_info.channels() == theirs.feature_info.channels()
            assert ours.feature_info.reduction() == theirs.feature_info.reduction()
            assert len(ours.feature_info.channels()) == (2 if which else 5)


# params, activations at the card's image size; MACs where a source gives them exactly, else in M to one digit.
CARDS = {
    "fbnetc_100": (5_572_200, 6_512_904, 384_960_160),
    "fbnetv3_b": (8_598_464, 6_972_176, 407.5),
    "fbnetv3_d": (10_306_272, 8_504_032, 502.0),
    "fbnetv3_g": (16_623_888, 14_865_024, 1253.6),
    "spnasnet_100": (4_421_616, 6_031_528, 333_467_072),
    "mobilenetv2_100": (3_504_872, 6_679_112, 300.8),
    "mobilenetv2_035": (1_677_128, None, 59.3),
    "mobilenetv2_050": (1_968_680, None, 97.1),
    "mobilenetv2_075": (2_636_424, None, 209.1),
    "mobilenetv2_110d": (4_516_520, None, 430.5),
    "mobilenetv2_120d": (5_831_144, None, 668.9),
    "mobilenetv2_140": (6_108_776, None, 582.2),
    "rexnet_100": (4_796_873, 7_440_707, 398.4),
    "rexnet_130": (7_557_091, None, 662.2),
    "rexnet_150": (9_728_593, None, 875.8),
    "rexnet_200": (16_366_620, None, 1528.9),
    "rexnet_300": (34_708_792, None, 3396.0),
    "rexnetr_100": (4_883_304, None, 418.9),
    "rexnetr_130": (7_608_080, None, 661.0),
    "rexnetr_150": (9_782_256, None, 872.4),
    "rexnetr_200": (16_522_432, None, 1559.4),
    "rexnetr_300": (34_810_008, None, 3343.7),
}
# Usual padding, in M, params to the digits of the reference.
FBNETV3_OTHERS = {
    "fbnetv3_a": (8.598, 407.5),
    "fbnetv3_c": (9.97, 634.0),
    "fbnetv3_e": (10.77, 858.5),
    "fbnetv3_f": (13.90, 1269.9),
}


@pytest.mark.parametrize("name", CARDS)
def test_figures_of_the_cards_follow_from_the_arch_alone(name: str) -> None:
    params, activations, macs = CARDS[name]
    cost = zoo.published(name).cost
    assert cost.params == params
    assert activations is None or cost.activations == activations
    assert cost.macs == macs if isinstance(macs, int) else round(cost.macs / 1e6, 1) == macs


@pytest.mark.parametrize("name", FBNETV3_OTHERS)
def test_fbnetv3_forms_that_timm_lacks(name: str) -> None:
    params, macs = FBNETV3_OTHERS[name]
    cost = zoo.published(name).cost
    digits = len(str(params).split(".")[1])
    assert round(cost.params / 1e6, digits) == params
    assert round(cost.macs / 1e6, 1) == macs


def test_single_path_macs_at_other_resolutions() -> None:
    for side, macs in ((192, 245.3), (160, 170.8), (128, 109.7), (96, 62.3)):
        assert round(zoo.published("spnasnet_100", resolution=side).macs / 1e6, 1) == macs


def test_rexnet_channels_grow_linearly_at_any_width_and_depth() -> None:
    assert block_channels(16) == [16, 27, 38, 50, 61, 72, 84, 95, 106, 117, 128, 140, 151, 162, 174, 185]
    assert block_channels(16, 0.9) == [16, 26, 36, 46, 56, 67, 77, 87, 97, 107, 117, 127, 138, 148, 158, 168]
    assert (rexnet(0.9).params, round(rexnet(0.9).macs / 1e6, 1)) == (4_091_257, 347.7)
    assert (rexnet(2.2).params, round(rexnet(2.2).macs / 1e6, 1)) == (19_485_308, 1842.5)
    assert block_channels(32)[:4] == [16, 22, 27, 33]
    assert len(rexnet(depth=2.0).layers) == 1 + 32 + 2


def test_mobilenetv2_at_any_width_and_depth() -> None:
    wide = mobilenetv2(1.3)
    assert round(wide.macs / 1e6) == 509
    assert mobilenetv2(0.01).layers[-2].out_channels == 1280
    with pytest.raises(ValueError, match="width must be a finite number > 0"):
        mobilenetv2(0)


@pytest.mark.parametrize("name", list(zoo.FAMILY_OF))
def test_every_published_net_survives_json_and_other_classes(name: str) -> None:
    arch = zoo.published(name, num_classes=7, in_channels=1)
    assert Arch.from_dict(json.loads(arch.to_json())) == arch
    assert (arch.num_classes, arch.in_channels) == (7, 1)
    assert zoo.published(name, 7, 64, 1).input_shape == (1, 64, 64)


def test_pretrained_goes_through_timms_loader(tmp_path) -> None:
    """A local file in place of the hub: the same code path as a download."""
    file = tmp_path / "weights.pth"
    torch.manual_seed(0)
    source = timm.create_model("fbnetc_100").eval()
    torch.save(source.state_dict(), file)
    overlay = {"file": str(file), "url": None, "hf_hub_id": None}
    net = nas.create_model("fbnetc_100", pretrained=True, pretrained_cfg_overlay=overlay).eval()
    theirs = timm.create_model("fbnetc_100", pretrained=True, pretrained_cfg_overlay=overlay).eval()
    x = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(net(x), theirs(x), atol=1e-5, rtol=1e-5)
        assert not torch.allclose(net(x), source(x), atol=1e-5)  # these weights want the other batch norm epsilon
    assert net.batch_norm_eps == 1e-3
    assert net.pretrained_cfg["tag"] == "rmsp_in1k"
    adapted = nas.create_model(
        "fbnetc_100.rmsp_in1k", num_classes=10, in_chans=1, pretrained=True, pretrained_cfg_overlay=overlay
    )
    kept, summed = adapted.conv_stem.weight, source.conv_stem.weight.sum(1, keepdim=True)
    torch.testing.assert_close(kept, summed)
    assert adapted.classifier.out_features == 10
    torch.save({"bogus": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match="pretrained weights of fbnetc_100 cannot be loaded"):
        nas.create_model("fbnetc_100", pretrained=True, pretrained_cfg_overlay=overlay)


@pytest.mark.parametrize("eps", [None, 1e-5])
def test_nets_from_tensorflow_have_their_epsilon_and_keep_the_one_they_got(eps: float | None, tmp_path) -> None:
    """timm gives these nets 1e-3 unless it is told; so a folder says nothing of 1e-3, and does of any other."""
    name = "tf_mobilenetv3_small_minimal_100"
    net = create_model(name, num_classes=5, batch_norm_eps=eps).eval()
    assert net.batch_norm_eps == (eps or 1e-3)
    model_folder.write(tmp_path / "net", net)
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    assert (config["architecture"], config["model_args"]) == (name, {} if eps is None else {"bn_eps": eps})
    theirs = timm.create_model(f"local-dir:{tmp_path / 'net'}", pretrained=True).eval()
    x = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(theirs(x), net(x))
        torch.testing.assert_close(nas.create_model(tmp_path / "net").eval()(x), net(x))


def test_creating_a_network_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_model("rexnet_100")
        create_model("fbnet_a")
