"""A network on disk as the ecosystem expects it: `config.json`, `model.safetensors`, `arch.json`, `README.md`.

`nas.create_model(folder)` and, after `import nas`, `timm.create_model("local-dir:<folder>", pretrained=True)` load it.
A network that timm itself has is stored under timm's name, so that timm loads it without us.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import is_model

from nas.data import ImageData
from nas.networks import ARCH, CARD, CONFIG, ENTRY, WEIGHTS, model_card, model_config, weights
from nas.networks.model_card import About
from nas.networks.network import FlatNetwork, Network
from nas.runs import checkpoint
from nas.runs.files import read_json, write_json, write_text
from nas.terminal.progress import log
from search_spaces import zoo
from search_spaces.arch import Arch, own_code
from search_spaces.plain_data.own_code import other_code
from search_spaces.resolution import pixels

DEFAULT_EPS = 1e-5
# The weights timm publishes for it were trained with another epsilon of the batch norms than the network's default:
# timm gives that to all weights that it loads into it, unless it is told of another.
PRETRAINED_EPS = {"fbnetc_100": 1e-3}
BEST = ".best.safetensors"  # how the weights that looked best are called, beside the checkpoint of their training
IMAGES = ("input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std", "label_names")
SMALL_IMAGES = 64  # pixels: up to here the whole image is used, above timm's usual centre crop
_ABOUT_OTHER_WEIGHTS = {
    *("url", "file", "hf_hub_id", "hf_hub_filename", "state_dict", "source", "tag", "custom_load"),
    *("label_offset", "label_names", "label_descriptions", "origin_url", "notes", "test_input_size", "test_pool_size"),
    "test_crop_pct",
}


@dataclass(frozen=True)
class Saved:
    """What a folder says of its network. `arrays`: their type, where its images are no pictures."""

    arch: Arch
    name: str
    pretrained_cfg: dict[str, Any]
    batch_norm_eps: float
    arrays: str | None = None


def read(folder: str | Path) -> Saved:
    """The description in `folder`. Raises `ValueError` where its files are missing, altered or disagree."""
    folder = Path(folder)
    path = folder / CONFIG
    model = read_json(path, "model configuration")
    model_config.check(model, str(path))
    about = model["nas"]
    arch = Arch.load(folder / ARCH)
    if about.get("arch_id") != arch.id:
        raise ValueError(f"{path} is for arch {about.get('arch_id')}, {folder / ARCH} holds {arch.id}: one was altered")
    inner = model["model_args"].get("arch")
    if inner is not None and Arch.from_dict(inner) != arch:
        raise ValueError(f"{path} and {folder / ARCH} describe different networks: one was altered")
    images = model["pretrained_cfg"]
    for owner, values in ((CONFIG, model), (f"{CONFIG}: pretrained_cfg", images)):
        if values.get("num_classes") != arch.num_classes:
            raise ValueError(
                f"{folder / owner} says {values.get('num_classes')!r} classes, {ARCH} {arch.num_classes}: "
                "one was altered"
            )
    model_config.check_images(images, arch, str(path))
    layers = weights.shapes_of(arch)
    for key in ("first_conv", "classifier"):
        if f"{images[key]}.weight" not in layers:
            raise ValueError(f"{path}: pretrained_cfg: {key} must be a layer of the network, got {images.get(key)!r}")
    if model.get("architecture") not in (ENTRY, timm_name(arch)):
        raise ValueError(f"{path}: architecture {model.get('architecture')!r} is not that of {ARCH}: one was altered")
    code = own_code(arch.walk()).get("code")
    if code and (changed := other_code(about.get("code") or code, code)):  # of blocks in the program nothing is known
        _note_other_code(folder, *changed)
    return Saved(arch, model["architecture"], dict(images), float(about["batch_norm_eps"]), about.get("arrays"))


@functools.cache  # a command reads a folder several times
def _note_other_code(folder: Path, then: str, now: str) -> None:
    log(
        f"NOTE: {folder} was written with other code of the blocks of your own ({then}; now {now}): its "
        "weights are loaded where names and shapes fit, and what was measured of it may no longer hold"
    )


def check_weights(folder: str | Path, arch: Arch) -> None:
    """Raise `ValueError` unless the weights in `folder` are those of a network of `arch`, as they were written."""
    path = Path(folder) / WEIGHTS
    weights.check_fit(weights.shapes_of(arch), weights.shapes_in(path), str(path))
    weights.check_digest(path)
    weights.check_types_in(path, arch)


def folder_in(path: str | Path) -> Path | None:
    """The model folder at `path`, of the run directory `path`, or of the weights file `path`; None where there is none.

    A file of weights belongs to the model folder that it lies in, and a run's checkpoint to that of its run.
    """
    path = Path(path)
    places = [path, path / "model"]
    if path.is_file():
        places = [path.parent, *([path.parent.parent / "model"] if path.parent.name == "checkpoints" else [])]
    return next((place for place in places if (place / CONFIG).is_file()), None)


def epsilon_in(path: str | Path) -> float | None:
    """The batch norm epsilon of the weights in `path`: as the model folder that they belong to says, or of a training
    that has not ended its checkpoint; None where nobody says one."""
    if (folder := folder_in(path)) is not None:
        return read(folder).batch_norm_eps
    path = Path(path)
    if path.name.endswith(BEST):
        path = path.with_name(path.name.removesuffix(BEST) + ".pt")
    if path.suffix == weights.SAFETENSORS or not path.is_file():
        return None
    training = checkpoint.load_foreign(path).get("identity")
    return training.get("batch_norm_eps", DEFAULT_EPS) if isinstance(training, dict) else None


def images_of(folder: str | Path) -> dict[str, Any]:
    """How the network in `folder` wants its images, and what its outputs are called, in timm's words."""
    saved = read(folder)
    images = {**saved.pretrained_cfg, "arrays": saved.arrays}
    return {key: images[key] for key in (*IMAGES, "arrays") if images.get(key) is not None}


def write(folder: str | Path, network: Network | FlatNetwork, about: About | None = None) -> Path:
    """Write `network` to `folder`: weights, `arch.json`, model card, and `config.json` last. Returns the folder.

    `about`: how the network came about; its data say how images are prepared.
    """
    about = about or About()
    folder = Path(folder)
    if not network.num_classes:
        raise ValueError("a model folder needs a network with a classifier; this one has num_classes=0")
    if (pooling := network.global_pool.pool_type) != "avg":
        raise ValueError(f"a model folder keeps no pooling but the mean, this network has global_pool={pooling!r}")
    arch = network.arch
    model = _config(network, about.data, about.license)
    card = model_card.write(folder.name, network, model["pretrained_cfg"], about)
    checkpoint.save_weights(folder / WEIGHTS, network.state_dict())
    model["nas"]["weights_sha256"] = weights.digest_of(folder / WEIGHTS)
    write_text(folder / ARCH, arch.to_json())
    write_text(folder / CARD, card)
    write_json(folder / CONFIG, model)
    return folder


def _config(network: Network | FlatNetwork, data: ImageData | None, license: str | None) -> dict[str, Any]:
    """timm's `config.json`, with our own additions under `nas`."""
    arch, eps = network.arch, network.batch_norm_eps
    images = {**timm_config(network), **getattr(network, "pretrained_cfg", {})}
    images = {key: value for key, value in images.items() if key not in _ABOUT_OTHER_WEIGHTS}
    name = timm_name(arch) or ENTRY
    images |= {
        "architecture": name,
        "input_size": list(arch.input_shape),
        "num_classes": arch.num_classes,
    }
    if license is not None:
        images["license"] = license
    if data is not None:
        if (data.num_classes, data.in_channels) != (arch.num_classes, arch.in_channels):
            raise ValueError(
                f"{data.name} has {data.num_classes} classes and {data.in_channels} channels, the network "
                f"{arch.num_classes} and {arch.in_channels}; give the data it was trained on"
            )
        images |= data.pretrained_cfg()
    elif len(images.get("mean", (0,) * arch.in_channels)) != arch.in_channels:
        images |= {"mean": [0.5] * arch.in_channels, "std": [0.5] * arch.in_channels}
    kind = {"arrays": data.preprocessing.arrays} if data is not None and data.preprocessing.arrays else {}
    args: dict[str, Any] = {} if name != ENTRY else {"arch": arch.to_dict()}
    if arch.in_channels != 3:
        args["in_chans"] = arch.in_channels
    if name in PRETRAINED_EPS or eps != zoo.BATCH_NORM_EPS.get(name, DEFAULT_EPS):
        args["bn_eps"] = eps
    return {
        "architecture": name,
        "num_classes": arch.num_classes,
        "num_features": network.num_features,
        "global_pool": network.global_pool.pool_type,
        "model_args": args,
        "pretrained_cfg": images,
        "nas": {
            "version": version("nas-under-budget"),
            "arch_id": arch.id,
            "batch_norm_eps": eps,
            **kind,
            **own_code(arch.walk()),
        },
    }


def timm_config(network: Network | FlatNetwork) -> dict[str, Any]:
    """timm's description of a network's input and weights (`pretrained_cfg`), without a source of weights."""
    arch, flat = network.arch, isinstance(network, FlatNetwork)
    return {
        "architecture": ENTRY,
        "input_size": tuple(arch.input_shape),
        "num_classes": arch.num_classes,
        "pool_size": arch.input_shape.strided(network.feature_info[-1]["reduction"]),
        "crop_pct": 0.875 if pixels(arch.resolution) > pixels(SMALL_IMAGES) else 1.0,
        "crop_mode": "center",
        "interpolation": "bilinear",
        "mean": IMAGENET_DEFAULT_MEAN if arch.in_channels == 3 else (0.5,) * arch.in_channels,
        "std": IMAGENET_DEFAULT_STD if arch.in_channels == 3 else (0.5,) * arch.in_channels,
        "first_conv": "stem.conv" if flat else "conv_stem",
        "classifier": "head.fc" if flat else "classifier",
    }


def timm_name(arch: Arch) -> str | None:
    """The name under which timm has this very network (for any resolution, classes and input channels), if it has."""
    for name in zoo.FAMILY_OF:
        if is_model(name) and zoo.published(name, arch.num_classes, arch.resolution, arch.in_channels) == arch:
            return name
    return None
