"""Model folders as they are read: whole, with options, altered, damaged."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import timm
import torch

import nas
from nas.networks import model_folder, weights
from nas.networks.creation import create_model, epsilon_of
from nas.networks.network import Network
from tests.networks.test_model_folder import discovered


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder.write(tmp_path_factory.mktemp("saved") / "net", create_model(discovered()))


def edit(path: Path, change) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def _widen(layers: list) -> None:
    layers[0]["out_channels"] = 64


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 4
    path.write_bytes(content)


TAMPERED = {
    "arch.json edited": (lambda f: edit(f / "arch.json", lambda d: _widen(d["stages"][0])), "one was altered"),
    "arch in config edited": (
        lambda f: edit(f / "config.json", lambda d: _widen(d["model_args"]["arch"]["stages"][0])),
        "describe different networks",
    ),
    "unknown layer": (
        lambda f: edit(f / "arch.json", lambda d: d["stages"][0][0].update(kind="os.system")),
        "unknown layer kind 'os.system'",
    ),
    "classes edited": (lambda f: edit(f / "config.json", lambda d: d.update(num_classes=7)), "says 7 classes"),
    "eps edited": (lambda f: edit(f / "config.json", lambda d: d["nas"].update(batch_norm_eps=-1)), "batch_norm_eps"),
    "architecture edited": (
        lambda f: edit(f / "config.json", lambda d: d.update(architecture="resnet50")),
        "architecture 'resnet50' is not that of arch.json",
    ),
    "not ours": (lambda f: edit(f / "config.json", lambda d: d.pop("nas")), "was not written by this framework"),
    **{
        f"{key}={value!r}": (
            lambda f, key=key, value=value: edit(f / "config.json", lambda d: d["pretrained_cfg"].update({key: value})),
            "pretrained_cfg: " + key + " must be",
        )
        for key, value in {
            "input_size": "224",
            "mean": [0.5, "a", None],
            "std": [0.5, 0.0, 0.5],
            "crop_pct": 1.5,
            "crop_mode": ["center"],
            "interpolation": {},
            "label_names": ["a"] * 9,
            "first_conv": 1.5,
            "classifier": "head",
            "fixed_input_size": 1,
        }.items()
    },
    **{
        f"{key}={value!r}": (
            lambda f, key=key, value=value: edit(f / "config.json", lambda d: d.update({key: value})),
            "must be a",
        )
        for key, value in {"pretrained_cfg": [], "model_args": None, "architecture": 3}.items()
    },
    "a bit flipped in the weights": (lambda f: flip_a_bit(f / "model.safetensors"), "it is damaged or was altered"),
    "weights as whole numbers": (
        lambda f: model_folder.checkpoint.save_weights(
            f / "model.safetensors", {key: value.int() for key, value in weights.read_weights(f).items()}
        ),
        "it is damaged or was altered",
    ),
    "truncated config": (lambda f: (f / "config.json").write_text("{"), "is damaged"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no weights file at"),
    "truncated weights": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:500]),
        "is damaged",
    ),
    "weights of another net": (
        lambda f: model_folder.checkpoint.save_weights(
            f / "model.safetensors", create_model("mobilenetv2_035").state_dict()
        ),
        "it is of another network",
    ),
    "a key missing": (
        lambda f: model_folder.checkpoint.save_weights(
            f / "model.safetensors",
            dict(list(weights.read_weights(f).items())[1:]),
        ),
        "1 missing (first:",
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_altered_folders_are_refused_in_one_line(case: str, saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "net"))
    alter, message = TAMPERED[case]
    alter(folder)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        nas.create_model(folder)
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_refused_however_they_are_read(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "net"))
    flip_a_bit(folder / "model.safetensors")
    for load in (
        lambda: nas.create_model(folder, features_only=True),
        lambda: nas.create_model(folder / "arch.json", checkpoint_path=folder),
        lambda: weights.read_weights(folder / "model.safetensors"),
        lambda: timm.create_model(f"local-dir:{folder}", pretrained=True),
    ):
        with pytest.raises(ValueError, match="it is damaged or was altered; copy the folder anew"):
            load()
    edit(folder / "config.json", lambda d: d["nas"].pop("weights_sha256"))
    nas.create_model(folder)  # on purpose, as the message says
    whole = {key: value.to(torch.int32) for key, value in weights.read_weights(folder).items()}
    model_folder.checkpoint.save_weights(folder / "model.safetensors", whole)
    for load in (
        lambda: nas.create_model(folder),
        lambda: nas.create_model(folder / "arch.json", checkpoint_path=folder),
        lambda: timm.create_model(f"local-dir:{folder}", pretrained=True),
    ):
        with pytest.raises(ValueError, match=r"in whole or other numbers, the network has it in floating"):
            load()
    half = {key: value.to(torch.bfloat16) if value.ndim else value for key, value in whole.items()}
    model_folder.checkpoint.save_weights(folder / "model.safetensors", half)
    nas.create_model(folder)


def test_files_of_weights_belong_to_their_folder_or_run(saved: Path, tmp_path: Path) -> None:
    """Preprocessing, classes and the norms' epsilon come with them, from whichever file they are read."""
    network = create_model(discovered())
    network.set_batch_norm(1e-3)
    run = tmp_path / "run"
    model = model_folder.write(run / "model", network)
    best = run / "checkpoints" / "train.best.safetensors"
    model_folder.checkpoint.save_weights(best, network.state_dict())
    for file in (run, model, model / "model.safetensors", best):
        assert model_folder.folder_in(file) == model
        assert nas.create_model(discovered(), checkpoint_path=file).batch_norm_eps == 1e-3
        assert epsilon_of(saved, file) == 1e-3
    bare = tmp_path / "bare" / "weights.safetensors"
    model_folder.checkpoint.save_weights(bare, network.state_dict())
    assert model_folder.folder_in(bare) is None
    assert (epsilon_of(saved, bare), epsilon_of(model, None), epsilon_of("tf_mobilenetv3_small_075", bare)) == (
        *(1e-5, 1e-3, 1e-3),
    )


def test_folder_options(saved: Path, tmp_path: Path) -> None:
    stored = weights.read_weights(saved)
    torch.testing.assert_close(nas.create_model(f"local-dir:{saved}").state_dict(), stored)
    fresh = nas.create_model(saved, pretrained=False).state_dict()
    assert not torch.equal(fresh["conv_stem.weight"], stored["conv_stem.weight"])
    other = nas.create_model(saved, num_classes=3)
    torch.testing.assert_close(other.conv_stem.weight.detach(), stored["conv_stem.weight"])
    assert other.arch.num_classes == 3
    assert isinstance(other, Network)
    with pytest.raises(ValueError, match="num_classes=0"):
        model_folder.write(tmp_path, create_model(discovered(), num_classes=0))
    with pytest.raises(ValueError, match="global_pool='max'"):
        model_folder.write(tmp_path, create_model(discovered(), global_pool="max"))
    with pytest.raises(ValueError, match="it is not a model folder"):
        nas.create_model(tmp_path)
