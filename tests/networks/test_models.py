"""timm's model interface on our networks, and one clear error for every mistake."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.optim import create_optimizer_v2
from torch import nn

import nas
from nas.networks import ENTRY, weights
from nas.networks.creation import create_model
from nas.networks.network import FlatNetwork, Network, build_network
from nas.networks.with_timm import register_with_timm
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, LinearBottleneck, PooledConv
from search_spaces.families.fbnet import fbnet
from search_spaces.families.rexnet.published import rexnet


def discovered(seed: int = 0, classes: int = 10) -> Arch:
    space = fbnet(32, classes, width=0.35, head_channels=64)
    return space.decode(space.sample(1, np.random.default_rng(seed))[0])


NETS = {
    "fbnet": discovered(),
    "rexnet": rexnet(0.5, resolution=32, num_classes=10),
    "pooled": Arch(32, ((ConvBNAct(8, 3, 2),), discovered().stages[1], (PooledConv(32), Classifier(10)))),
}


@pytest.mark.parametrize("arch", NETS.values(), ids=list(NETS))
def test_model_interface(arch: Arch) -> None:
    net = create_model(arch).eval()
    x = torch.randn(2, 3, 32, 32)
    logits = net(x)
    features = net.forward_features(x)
    assert logits.shape == (2, 10) and features.shape[1] == net.num_features
    assert net.forward_head(features, pre_logits=True).shape == (2, net.head_hidden_size)
    torch.testing.assert_close(net.forward_head(features), logits)
    final, pyramid = net.forward_intermediates(x)
    torch.testing.assert_close(final, features)
    assert [f.shape[1] for f in pyramid] == [info["num_chs"] for info in net.feature_info]
    assert [32 // f.shape[2] for f in pyramid] == [info["reduction"] for info in net.feature_info]
    early = net.forward_intermediates(x, indices=[0], stop_early=True, intermediates_only=True)
    torch.testing.assert_close(early[0], pyramid[0])
    last = net.forward_intermediates(x, indices=1, intermediates_only=True)
    torch.testing.assert_close(last[0], pyramid[-1])
    assert net.get_classifier().out_features == 10
    net.reset_classifier(3)
    assert net(x).shape == (2, 3) and net.arch.num_classes == 3 and net.num_classes == 3
    net.reset_classifier(0)
    assert net(x).shape == (2, net.head_hidden_size)
    net.reset_classifier(0, "")
    assert net(x).ndim == 4
    groups = timm.models.group_parameters(net, net.group_matcher())
    assert sum(len(group) for group in groups.values()) == len(list(net.parameters()))


@pytest.mark.parametrize("arch", NETS.values(), ids=list(NETS))
def test_gradient_checkpointing_changes_no_gradient(arch: Arch) -> None:
    net = create_model(arch).train()
    x = torch.randn(4, 3, 32, 32)
    grads = []
    for enabled in (False, True):
        net.set_grad_checkpointing(enabled)
        net.zero_grad()
        net(x).square().mean().backward()
        grads.append([p.grad.clone() for p in net.parameters()])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def test_drop_rates_act_in_training_only() -> None:
    net = create_model(discovered(), drop_rate=0.5, drop_path_rate=0.5)
    x = torch.randn(4, 3, 32, 32)
    rates = [m.drop_prob for m in net.modules() if type(m).__name__ == "DropPath"]
    assert rates == sorted(rates) and 0 < rates[-1] < 0.5
    torch.manual_seed(0)
    net.train()
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize("pool", ["avg", "max", "avgmax"])
def test_pooling(pool: str) -> None:
    net = create_model(NETS["pooled"], global_pool=pool).eval()
    x = torch.randn(1, 3, 32, 32)
    features = net.forward_features(x)
    pooled = {"avg": features.mean((2, 3)), "max": features.amax((2, 3))}
    pooled["avgmax"] = (pooled["avg"] + pooled["max"]) / 2
    expected = net.classifier(net.head_act(net.conv_head(pooled[pool][:, :, None, None])).flatten(1))
    torch.testing.assert_close(net(x), expected)


def test_sources_of_an_arch(tmp_path: Path) -> None:
    arch = discovered()
    path = tmp_path / "arch.json"
    path.write_text(arch.to_json())
    for source in (arch, path, str(path), arch.to_json(), arch.to_dict(), tmp_path):
        assert create_model(source).arch == arch
    assert create_model(arch, num_classes=4, in_chans=1)(torch.randn(2, 1, 32, 32)).shape == (2, 4)
    assert isinstance(create_model("rexnet_100", num_classes=2), FlatNetwork)
    assert isinstance(create_model("fbnet_a", num_classes=2), Network)


def test_timm_knows_our_networks(tmp_path: Path) -> None:
    arch = discovered()
    path = tmp_path / "arch.json"
    path.write_text(arch.to_json())
    net = timm.create_model("nas_net", arch=str(path), num_classes=4, drop_path_rate=0.1, bn_momentum=0.2, bn_eps=1e-4)
    assert net.arch == arch.with_classes(4) and net.batch_norm_eps == 1e-4
    assert net.pretrained_cfg["input_size"] == (3, 32, 32)
    assert timm.data.resolve_model_data_config(net)["input_size"] == (3, 32, 32)
    pyramid = timm.create_model("nas_net", arch=arch, features_only=True, out_indices=(0, 2))
    assert [f.shape[1] for f in pyramid(torch.randn(2, 3, 32, 32))] == pyramid.feature_info.channels()
    create_optimizer_v2(net, opt="sgd", lr=0.1, layer_decay=0.7)  # needs group_matcher
    with pytest.raises(ValueError, match="nas_net needs arch="):
        timm.create_model("nas_net")
    with pytest.raises(ValueError, match="no argument 'bogus'"):
        timm.create_model("nas_net", arch=arch, bogus=1)


def test_searched_modules_follow_the_arch() -> None:
    for arch in NETS.values():
        net = build_network(arch)
        modules = net.searched_modules()
        layers = [layer for stage in arch.stages[1:-1] for layer in stage]
        assert len(modules) == len(layers)
        assert sum(module is None for module in modules) == sum(layer.kind == "skip" for layer in layers)


MISTAKES = {
    "unknown name": (("rexnet_10",), {}, "unknown network 'rexnet_10'; nearest names: rexnet_1"),
    "unknown tag": (("fbnetc_100.best",), {}, "timm has no weights fbnetc_100.best; it has rmsp_in1k"),
    "tag without weights": (("fbnet_a.best",), {}, "fbnet_a is described here but not in timm"),
    "no file": (("runs/x/arch.json",), {}, "no arch file or model folder at runs/x/arch.json"),
    "no folder": (("local-dir:/nowhere",), {}, "no model folder at /nowhere"),
    "not json": (("{",), {}, "not JSON"),
    "classes": (("fbnetc_100", -1), {}, "num_classes must be >= 0"),
    "classes text": (("fbnetc_100", "ten"), {}, "num_classes must be a whole number"),
    "drop": (("fbnetc_100",), {"drop_rate": 1.5}, "drop_rate must be in [0, 1)"),
    "pool": (("fbnetc_100",), {"global_pool": "cat"}, "unknown global_pool 'cat'"),
    "indices": (("fbnetc_100",), {"features_only": True, "out_indices": (7,)}, "feature maps 0..4, got index 7"),
    "indices alone": (("fbnetc_100",), {"out_indices": (1,)}, "needs features_only=True"),
    "no pretrained": (("fbnet_a",), {"pretrained": True}, "pretrained weights of fbnet_a cannot be loaded"),
    "checkpoint": (("fbnetc_100",), {"checkpoint_path": "none.safetensors"}, "no weights file at none.safetensors"),
    "two weights": (("fbnetc_100",), {"checkpoint_path": "x", "pretrained": True}, "two sources of weights"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named_in_one_line(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.networks.network.init_weights", lambda module: None)
    arguments, options, message = MISTAKES[case]
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        nas.create_model(*arguments, **options)
    assert "\n" not in str(caught.value)


def test_counts_may_be_numbers_of_numpy() -> None:
    """What `labels.max() + 1` and `images.shape` give; archs are JSON, so they are Python's there."""
    net = create_model(discovered(), num_classes=np.int64(4), in_chans=np.int32(1))
    assert net.arch == create_model(discovered(), num_classes=4, in_chans=1).arch
    net.reset_classifier(np.int64(5))
    assert net.arch.to_json() and net(torch.randn(2, 1, 32, 32)).shape == (2, 5)
    for wrong in (-1, True, 2.0):
        with pytest.raises(ValueError, match="num_classes must be"):
            net.reset_classifier(wrong)
    assert net(torch.randn(2, 1, 32, 32)).shape == (2, net.num_classes) == (2, 5)


def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    net = create_model(discovered())
    good = net.state_dict()
    key = next(iter(good))
    cases = {
        "of another network": create_model(rexnet(0.5, num_classes=10)).state_dict(),
        "incomplete or altered": {k: v for k, v in good.items() if k != key},
        "1 not in the network (first: bogus)": {**good, "bogus": torch.zeros(1)},
        "of another shape": {**good, key: torch.zeros(1)},
        "has 7 output classes, the network 10; create it with num_classes=7": create_model(
            discovered(classes=7)
        ).state_dict(),
    }
    for message, state in cases.items():
        with pytest.raises(ValueError, match=re.escape(message)) as caught:
            weights.load(net, state, "the file")
        assert "\n" not in str(caught.value)
    path = tmp_path / "weights.pth"
    torch.save({"network": good, "optimizer": {}}, path)
    torch.testing.assert_close(create_model(discovered(), checkpoint_path=path).state_dict(), good)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        create_model(discovered(), checkpoint_path=path)
    torch.save({"step": 3}, path)
    with pytest.raises(ValueError, match="holds no weights"):
        create_model(discovered(), checkpoint_path=path)


def test_archs_that_no_network_can_be_are_refused() -> None:
    arch = discovered()
    twice = Arch(32, (*arch.stages[:-1], (ConvBNAct(8), ConvBNAct(8), Classifier(10))))
    with pytest.raises(ValueError, match="head is one convolution and a classifier"):
        build_network(twice)
    mixed = Arch(32, (arch.stages[0], (*arch.stages[1], LinearBottleneck(16)), arch.stages[-1]))
    with pytest.raises(ValueError, match="a ReXNet cannot hold a"):
        build_network(mixed)
    data = json.loads(rexnet(0.5).to_json())
    data["stages"][2][0]["se"] = {"gate": "relu"}
    with pytest.raises(ValueError, match="unknown gate 'relu'"):
        Arch.from_dict(data)


def test_partial_residual_adds_to_the_first_channels_only() -> None:
    layer = LinearBottleneck(12, expand_ratio=2)
    module = layer.build(NETS["rexnet"].input_shape._replace(channels=8)).eval()
    assert isinstance(module, nn.Module)
    x = torch.randn(1, 8, 8, 8)
    with torch.no_grad():
        out = module(x)
        bare = module.conv_pwl(module.act_dw(module.conv_dw(module.conv_exp(x))))
    torch.testing.assert_close(out[:, :8], bare[:, :8] + x)
    torch.testing.assert_close(out[:, 8:], bare[:, 8:])


def test_nas_registers_with_a_timm_that_was_imported_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other order: test_model_folder.py, by a process that needs both anyway."""
    monkeypatch.delitem(timm.models._registry._model_entrypoints, ENTRY)
    monkeypatch.delitem(sys.modules, "nas.networks.timm_entry")
    assert not timm.is_model(ENTRY)
    register_with_timm()
    assert timm.is_model(ENTRY)
