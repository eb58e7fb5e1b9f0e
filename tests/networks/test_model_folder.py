"""A network that leaves us: saved, loaded elsewhere, fine-tuned by timm's tools, exported, run without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3

import nas
from nas.data.digits import digits
from nas.export.exporting import export
from nas.networks import ENTRY, model_folder
from nas.networks.creation import create_model
from nas.networks.model_card import About
from nas.networks.network import build_network
from search_spaces.arch import Arch
from search_spaces.families.fbnet import fbnet
from search_spaces.recipe import Recipe
from search_spaces.zoo import published


def discovered(channels: int = 3, resolution: int = 32) -> Arch:
    space = fbnet(resolution, 10, channels, width=0.35, head_channels=64)
    drawn = space.sample(1, np.random.default_rng(1))[0]
    skips = [len(variable) - 1 for variable in space.variables]  # the last candidate of each: few blocks are quick
    return space.decode([gene if i % 4 == 0 else skip for i, (gene, skip) in enumerate(zip(drawn, skips, strict=True))])


def run(code: str, *arguments: object) -> None:
    """Run `code` in a fresh interpreter that turns warnings into errors."""
    subprocess.run([sys.executable, "-W", "error", "-c", code, *map(str, arguments)], check=True)


LOAD = """
import sys, nas
assert not {"torch", "timm"} & set(sys.modules)  # nas is cheap to import, and timm behind it knows its networks
import timm
assert timm.is_model("nas_net")
import numpy as np, torch
folder, inputs, by_nas, by_timm = sys.argv[1:]
x = torch.from_numpy(np.load(inputs))
with torch.no_grad():
    np.save(by_nas, nas.create_model(folder).eval()(x).numpy())
    np.save(by_timm, timm.create_model("local-dir:" + folder, pretrained=True).eval()(x).numpy())
"""

RUN_ONNX = """
import sys
import numpy as np, onnxruntime
model, inputs, outputs = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
(source,) = session.get_inputs()
np.save(outputs, session.run(None, {source.name: np.load(inputs)})[0])
assert not {"torch", "nas", "timm"} & set(sys.modules)
"""


def test_an_emitted_network_gives_the_same_logits_everywhere(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    torch.manual_seed(0)
    model_folder.write(folder, create_model(discovered()), About(family="fbnet"))
    # Fine-tuned for a few steps by timm's optimiser and moving average.
    net = timm.create_model(f"local-dir:{folder}", pretrained=True).train()
    ema = ModelEmaV3(net, decay=0.5)
    optimizer = create_optimizer_v2(net, opt="adamw", lr=1e-3)
    images, labels = torch.randn(16, 3, 32, 32), torch.arange(16) % 10
    losses = []
    for _ in range(8):
        loss = torch.nn.functional.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema.update(net)
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    tuned = ema.module.eval()
    model_folder.write(folder, tuned, About(family="fbnet"))
    export(tuned, folder / "model.onnx")
    x = images[:3].numpy()
    np.save(tmp_path / "x.npy", x)
    paths = {name: tmp_path / f"{name}.npy" for name in ("nas", "timm", "onnx")}
    run(LOAD, folder, tmp_path / "x.npy", paths["nas"], paths["timm"])
    run(RUN_ONNX, folder / "model.onnx", tmp_path / "x.npy", paths["onnx"])
    with torch.no_grad():
        expected = tuned(images[:3]).numpy()
    for path in paths.values():
        np.testing.assert_allclose(np.load(path), expected, atol=1e-5, rtol=1e-4)


def test_a_network_that_timm_has_is_saved_under_timms_name(tmp_path: Path) -> None:
    net = create_model("mobilenetv2_035", num_classes=5, in_chans=1, batch_norm_eps=1e-3).eval()
    model_folder.write(tmp_path / "net", net, About(family="mobilenetv2"))
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    assert config["architecture"] == "mobilenetv2_035"
    assert config["model_args"] == {"in_chans": 1, "bn_eps": 1e-3}
    said = 'timm.create_model("mobilenetv2_035", num_classes=5, in_chans=1, bn_eps=0.001, checkpoint_path='
    assert said in (tmp_path / "net/README.md").read_text()  # timm's own epsilon would give other answers
    theirs = timm.create_model(f"local-dir:{tmp_path / 'net'}", pretrained=True).eval()
    assert type(theirs).__module__.startswith("timm.")
    x = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(theirs(x), net(x))
        torch.testing.assert_close(nas.create_model(tmp_path / "net").eval()(x), net(x))


@pytest.mark.parametrize("eps", [1e-5, 1e-3])
def test_timm_gives_a_network_of_ours_its_epsilon_and_not_that_of_its_own_weights(eps: float, tmp_path: Path) -> None:
    """timm loads any weights of this name with the epsilon of those it publishes, unless the folder says another."""
    net = create_model("fbnetc_100", num_classes=5, batch_norm_eps=eps).eval()
    model_folder.write(tmp_path / "net", net)
    assert json.loads((tmp_path / "net" / "config.json").read_text())["architecture"] == "fbnetc_100"
    theirs = timm.create_model(f"local-dir:{tmp_path / 'net'}", pretrained=True).eval()
    assert {module.eps for module in theirs.modules() if isinstance(module, torch.nn.BatchNorm2d)} == {eps}
    assert nas.create_model(tmp_path / "net").batch_norm_eps == eps


def test_timm_alone_does_not_open_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the card and docs/networks.md say, with the way out; where timm comes to take blocks, they change."""
    folder = model_folder.write(tmp_path / "net", create_model(discovered()), About(family="fbnet"))
    with monkeypatch.context() as patch:
        patch.delitem(timm.models._registry._model_entrypoints, ENTRY)  # as where nothing of ours is imported
        with pytest.raises(RuntimeError, match=r"Unknown model \(nas_net\)"):
            timm.create_model(f"local-dir:{folder}", pretrained=True)
    blocks = timm.models._efficientnet_builder.decode_arch_def([["ir_r1_k3_s2_e1_c16"]])
    for name in ("efficientnet_b0", "mobilenetv3_large_100", "fbnetc_100", "mnasnet_100", "mobilenetv4_conv_small"):
        with pytest.raises(TypeError, match="block_args"):
            timm.create_model(name, block_args=blocks)
    said = " ".join((folder / "README.md").read_text().split())
    assert "timm alone does not open this folder by `local-dir:` (`Unknown model (nas_net)`)" in said
    assert "python -m nas.export arch=net format=python" in said


def test_folder_with_data_carries_names_and_normalisation(tmp_path: Path) -> None:
    data = digits()
    net = create_model(discovered(1, 16))
    recipe = Recipe(epochs=3, batch_size=16, lr=0.1)
    metrics = {"top1_percent": 97.25, "measured_latency_ms": 1.5, "device": "local", "unknown": 1}
    metrics |= {"class_percent": {"a|b": 90.0, "c": 50.0, "d": None}, "class_images": {"a|b": 10, "c": 4, "d": 0}}
    model_folder.write(
        tmp_path / "net",
        net,
        About(data=data, metrics=metrics, recipe=recipe, origin="Found by a test.", title="what it is"),
    )
    loaded = nas.create_model(tmp_path / "net")
    assert loaded.pretrained_cfg["label_names"] == [str(i) for i in range(10)]
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(loaded), is_training=False)
    from PIL import Image

    assert transform(Image.new("L", (8, 8))).shape == (1, 16, 16)
    torch.testing.assert_close(torch.tensor(loaded.pretrained_cfg["mean"]), data.train.mean)
    card = (tmp_path / "net" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: timm\ntags:\n- image-classification\n- timm\n")
    assert "license" not in json.loads((tmp_path / "net" / "config.json").read_text())["pretrained_cfg"]
    for part in (
        "- digits",
        "Top-1 accuracy | 97.25 %",
        "Latency measured | 1.5 ms",
        "- epochs: 3",
        "Found by a test.",
        "# Model card for what it is",
        "| c | 4 | 50.0 % |\n| a\\|b | 10 | 90.0 % |\n",
        "nas.export arch=net format=python",
        "not said; whoever publishes these weights",
    ):
        assert part in card
    assert f"{net.arch.params:,} parameters" in card and "Image size: 16 x 16" in card and "unknown" not in card
    embedding = nas.create_model(tmp_path / "net", num_classes=0)
    assert embedding.eval()(torch.randn(2, 1, 16, 16)).shape == (2, 64) and "(1, 64)" in card
    pyramid = nas.create_model(tmp_path / "net", features_only=True).eval()(torch.randn(1, 1, 16, 16))
    assert all(f"# {tuple(f.shape)}" in card for f in pyramid)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "rexnet_100"])  # pooled before its last convolution; flat
def test_a_card_says_the_shapes_that_a_network_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.networks.network.init_weights", lambda module: None)
    network = build_network(published(name, 10, [33, 20])).eval()
    features, pyramid = network.forward_intermediates(torch.zeros(1, *network.arch.input_shape))
    card = model_folder.model_card.write(name, network, {}, About())
    for part in (*pyramid, features, network.forward_head(features, pre_logits=True)):
        assert f"# {tuple(part.shape)}\n" in card
    assert card.count("\n# (1, ") == len(pyramid)


def test_card_of_a_published_net_says_what_timms_card_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.networks.network.init_weights", lambda module: None)
    for name, family, stats in (
        ("fbnetc_100", "fbnet", ("5.6", "0.4", "6.5")),
        ("fbnetv3_b", "fbnetv3", ("8.6", "0.4", "7.0")),
        ("spnasnet_100", "single_path", ("4.4", "0.3", "6.0")),
        ("mobilenetv2_100", "mobilenetv2", ("3.5", "0.3", "6.7")),
        ("rexnet_100", "rexnet", ("4.8", "0.4", "7.4")),
    ):
        card = model_folder.model_card.write(name, create_model(name), {"license": "mit"}, About(family=family))
        for key, value in zip(("Params (M)", "GMACs", "Activations (M)"), stats, strict=True):
            assert f"  - {key}: {value}\n" in card
        assert "Image size: 224 x 224" in card and "license: mit" in card


def test_a_run_directory_serves_as_its_model_folder(tmp_path: Path) -> None:
    net = create_model(discovered(), batch_norm_eps=1e-3)
    model_folder.write(tmp_path / "run" / "model", net)
    (tmp_path / "run" / "arch.json").write_text(net.arch.to_json())
    for loaded in (
        nas.create_model(tmp_path / "run"),
        nas.create_model(tmp_path / "run" / "arch.json", checkpoint_path=tmp_path / "run"),
        nas.create_model(net.arch, checkpoint_path=tmp_path / "run" / "model"),
    ):
        torch.testing.assert_close(loaded.state_dict(), net.state_dict())
        assert loaded.batch_norm_eps == 1e-3  # the weights mean another network without it
    with pytest.raises(ValueError, match="neither a model folder nor a run with weights"):
        nas.create_model(net.arch, checkpoint_path=tmp_path)


def test_a_network_of_ones_own_space_has_no_paper(tmp_path: Path) -> None:
    for family, cited in (("fbnet", True), ("my_space", False)):
        folder = model_folder.write(tmp_path / family, create_model(discovered()), About(family=family))
        assert ("@misc" in (folder / "README.md").read_text()) == cited
