"""The model card: `README.md` in the form the Hugging Face Hub reads."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from nas.data import ImageData
from nas.data.preprocessing import MODES, SQUASHED, Preprocessing, kept_size
from nas.networks import ENTRY, WEIGHTS
from nas.networks.network import FlatNetwork, Network
from nas.networks.timm_alone import code as timm_code
from search_spaces.arch import Arch
from search_spaces.costs import Shape
from search_spaces.recipe import Recipe
from search_spaces.resolution import Resolution, size
from search_spaces.zoo import FAMILIES

# How the figures of a run are called on a card, and their unit.
METRICS = {
    "top1_percent": ("Top-1 accuracy", "%"),
    "top5_percent": ("Top-5 accuracy", "%"),
    "asked_latency_ms": ("Latency asked", "ms"),
    "estimated_latency_ms": ("Latency estimated", "ms"),
    "measured_latency_ms": ("Latency measured", "ms"),
    "device": ("Device", ""),
    "seed": ("Seed", ""),
}

LISTED = 100  # classes that a card names; config.json has them all


@dataclass(frozen=True)
class About:
    """What is known of how a network came about, beside its arch and weights.

    `data`: gives class names and all that is done to an image before the network sees it. `metrics` and `recipe` list
    what is known of the run, `origin` says it in one sentence, `title` what the network is. `license`: of the weights,
    which is for their owner to say (None: not said). `family`, where it is a key of
    `search_spaces.zoo.FAMILIES`, gives paper and citation; a network of a user's own space has neither.
    """

    data: ImageData | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe | None = None
    family: str | None = None
    origin: str = ""
    license: str | None = None
    title: str = ""


def write(name: str, network: Network | FlatNetwork, pretrained_cfg: Mapping[str, Any], about: About) -> str:
    """The card of `network`, called `name` after its folder.

    Figures follow from the arch: parameters, multiply-adds (GMACs) and activations (output elements of convolutions
    and linear layers) for one image of the arch's resolution.
    """
    arch, data, recipe, family, origin = network.arch, about.data, about.recipe, about.family, about.origin
    license = pretrained_cfg.get("license")
    parts = [_front_matter(license, data), f"# Model card for {_line(about.title) or _line(name)}"]
    parts.append(_line(origin) or "An image classification network, found or trained under a latency budget.")
    stats = [
        "## Model details",
        "- **Model type:** image classification / feature backbone",
        "- **Model stats:**",
        f"  - Params (M): {arch.params / 1e6:.1f}",
        f"  - GMACs: {_gmacs(arch.macs)}",
        f"  - Activations (M): {arch.activations / 1e6:.1f}",
        f"  - Image size: {_sides(arch.resolution)}",
        f"- **Exactly:** {arch.params:,} parameters, {arch.macs:,} MACs, {arch.activations:,} activations, "
        f"{arch.in_channels} input channels, {arch.num_classes} classes; arch id `{arch.id}`",
    ]
    if family in FAMILIES:
        stats.append(f"- **Paper:** {FAMILIES[family].paper}: https://arxiv.org/abs/{FAMILIES[family].arxiv}")
    if data is not None:
        stats.append(f"- **Dataset:** {_line(data.name)}")
    if license is None:
        stats.append("- **License:** not said; whoever publishes these weights adds `license:` above")
    parts.append("\n".join(stats))
    if data is not None:
        parts.append(_images(data))
    results = _results(about.metrics, network.arch.num_classes)
    if results:
        parts.append("## Results\n" + results)
    if classes := _by_class(about.metrics):
        parts.append(classes)
    if recipe is not None:
        parts.append("## Recipe\n" + "\n".join(f"- {key}: {value}" for key, value in recipe.to_dict().items()))
    parts.append(_usage(name, network, data.preprocessing if data is not None else SQUASHED))
    parts.append(_without_us(name, pretrained_cfg.get("architecture"), network))
    if family in FAMILIES:
        parts.append(_citation(family))
    return "\n\n".join(parts) + "\n"


def _front_matter(license: str | None, data: ImageData | None) -> str:
    fields: dict[str, Any] = {"license": license} if license is not None else {}
    fields["library_name"] = "timm"
    fields["tags"] = ["image-classification", "timm", "neural-architecture-search"]
    if data is not None:
        fields["datasets"] = [data.name]
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, width=10**6)}---"


def _line(text: str) -> str:
    """`text` on one line: names of files and classes may hold anything."""
    return " ".join(text.encode(errors="replace").decode().split())


def _literal(text: str) -> str:
    """`text` as Python writes it, in double quotes where that needs no escapes."""
    plain = text.isprintable() and not set(text) & {'"', "\\"}
    return f'"{text}"' if plain else ascii(text)


def _images(data: ImageData) -> str:
    """What is done to an image before the network sees it, and what the outputs mean."""
    way, used = data.preprocessing, data.resolution
    if way.crop_mode == "squash":
        fitted = f"resized to {_sides(used)} pixels"
    else:
        kept = kept_size(used, way.crop_percent)
        covered = f"the shorter side resized to {kept}" if isinstance(kept, int) else f"resized to cover {_sides(kept)}"
        fitted = f"{covered} pixels, the central {_sides(used)} used"
    padded = f"{way.pad} black pixels added on every side, then " if way.pad else ""
    kind = f"arrays (channels, height, width) of {way.arrays}" if way.arrays else MODES[data.in_channels]
    unit = "in the unit of the arrays" if way.arrays == "float32" else "of pixels from 0 to 1"
    numbers = [", ".join(f"{value:.4g}" for value in part.tolist()) for part in (data.train.mean, data.train.std)]
    names = [_literal(_line(name)) for name in data.class_names[:LISTED]]
    more = f" and {len(data.class_names) - LISTED:,} more" if len(data.class_names) > LISTED else ""
    return "\n".join(
        [
            "## Images and classes",
            f"- **Images:** {kind}, {padded}{fitted} ({way.interpolation}, antialiased)",
            f"- **Normalised by:** mean {numbers[0]}; standard deviation {numbers[1]} ({unit})",
            f"- **Classes**, in the order of the outputs: {', '.join(names)}{more} (`label_names` in config.json)",
        ]
    )


def _gmacs(macs: int) -> str:
    """One digit behind the point as on timm's cards; two significant digits below 0.1."""
    return f"{macs / 1e9:.1f}" if macs >= 1e8 else f"{macs / 1e9:.2g}"


def _results(metrics: Mapping[str, Any], num_classes: int) -> str:
    lines = []
    for key, (label, unit) in METRICS.items():
        value = metrics.get(key)
        if value is not None and not (key == "top5_percent" and num_classes <= 5):  # which would be 100%
            shown = f"{value:.4g}" if isinstance(value, float) else _cell(f"{value}")
            lines.append(f"| {label} | {shown}{f' {unit}' if unit else ''} |")
    proof = metrics.get("table_proof")
    if proof is not None and metrics.get("estimated_latency_ms") is not None:
        error, count = proof["calibrated"]["mape_percent"], proof["networks"]
        lines.append(f"| Latency table | off by {error:.2g} % on average, on {count} networks it had not seen |")
    return "\n".join(["| figure | value |", "| --- | --- |", *lines]) if lines else ""


def _by_class(metrics: Mapping[str, Any]) -> str:
    """Accuracy class by class, the worst first; empty where it is not known."""
    known = {name: share for name, share in (metrics.get("class_percent") or {}).items() if share is not None}
    if not known:
        return ""
    images = metrics.get("class_images") or {}
    worst = sorted(known, key=lambda name: known[name])[:LISTED]
    rows = [f"| {_cell(name)} | {images.get(name, '')} | {known[name]:.1f} % |" for name in worst]
    more = f"\n\n{len(known) - len(worst):,} more classes are above these." if len(known) > len(worst) else ""
    return "\n".join(["### Class by class", "| class | test images | top-1 |", "| --- | --- | --- |", *rows]) + more


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _sides(resolution: Resolution) -> str:
    """Height x width."""
    height, width = size(resolution)
    return f"{height} x {width}"


def _input(arch: Arch, way: Preprocessing) -> tuple[str, str]:
    """What else the code for one image imports, and that code behind the model's: it makes `image`."""
    if way.arrays:
        scaled = "fitted / 255" if way.arrays == "uint8" else "fitted"
        return (
            "import numpy\nfrom nas.data.images import fit",
            f"""mean, std = (torch.tensor(model.pretrained_cfg[key]).view(-1, 1, 1) for key in ("mean", "std"))
array = numpy.load("image.npy").astype("{way.arrays}")  # {arch.in_channels} x height x width
fitted = fit(torch.from_numpy(array)[None], {list(size(arch.resolution))})
image = ({scaled} - mean) / std""",
        )
    mode, pad = MODES.get(arch.in_channels), f", pad={way.pad}" if way.pad else ""
    opened = f'open_image("image.png", "{mode}"{pad})' if mode else 'Image.open("image.png")'
    return (
        "from nas.data.files.decode import open_image" if mode else "from PIL import Image",
        f"""config = timm.data.resolve_model_data_config(model)
transform = timm.data.create_transform(**config, is_training=False)
image = transform({opened}).unsqueeze(0)""",
    )


def _usage(name: str, network: Network | FlatNetwork, way: Preprocessing) -> str:
    arch = network.arch
    pyramid, features, embedding = _shapes(network)
    imported, prepared = _input(arch, way)
    folder, local = _literal(name), _literal(f"local-dir:{name}")
    shapes = "\n".join(f"# {(1, *shape)}" for shape in pyramid)
    top = min(5, arch.num_classes)
    return f"""## Model usage
The folder of this card is a model folder: `nas.create_model` loads it, and so does timm once `nas` is imported.

### Image classification
```python
import nas, timm, torch
{imported}

model = nas.create_model({folder}).eval()  # or timm.create_model({local}, pretrained=True)
{prepared}
probabilities, classes = model(image).softmax(1).topk({top})
```

### Feature maps
```python
model = nas.create_model({folder}, features_only=True).eval()
features = model(image)
{shapes}
```

### Embeddings
```python
model = nas.create_model({folder}, num_classes=0).eval()
embedding = model(image)  # {(1, embedding)}
features = model.forward_features(image)  # {(1, *features)}
embedding = model.forward_head(features, pre_logits=True)
```"""


def _shapes(network: Network | FlatNetwork) -> tuple[list[Shape], Shape, int]:
    """Of one image: the feature maps, the unpooled features, and how many numbers an embedding has."""
    arch = network.arch
    stem, *stages, head = arch.walk_stages()
    if isinstance(network, FlatNetwork):  # whose units are blocks; identities are none
        stages = [(step,) for stage in stages for step in stage if not step[0].is_identity(step[1])]
    ends = [layer.out_shape(shape) for layer, shape in (unit[-1] for unit in (stem, *stages))]
    behind = 0 if head[0][0].role == "pooled_convolution" else -1  # features end before what is pooled first
    return [ends[tap["stage"]] for tap in network.feature_info], head[behind][1], head[-1][1].channels


def _without_us(name: str, architecture: Any, network: Network | FlatNetwork) -> str:
    """How the weights are loaded where this package is not installed: by timm, which has the network, or as a file."""
    arch = network.arch
    if architecture not in (None, ENTRY):
        settings = f"num_classes={arch.num_classes}, in_chans={arch.in_channels}, bn_eps={network.batch_norm_eps!r}"
        weights = _literal(f"{name}/{WEIGHTS}")
        return f"""## Without this package
timm has this very network:
```text
model = timm.create_model("{architecture}", {settings}, checkpoint_path={weights})
```"""
    folder = shlex.quote(_line(name))
    code = timm_code.code_of(network, _literal(f"{name}/{WEIGHTS}"))
    made = f"timm has all its blocks, though, and builds it of them:\n```python\n{code}\n```\n" if code else ""
    return f"""## Without this package
timm alone does not open this folder by `local-dir:` (`Unknown model ({ENTRY})`): none of its models takes a list
of blocks.
{made}One command, where this package is, writes a file for where only torch, or only a runtime, is installed:
```text
python -m nas.export arch={folder} format=python   # a Python file and its weights, which need torch alone
python -m nas.export arch={folder} format=onnx     # for ONNX Runtime and what reads ONNX
```"""


def _citation(family: str) -> str:
    row = FAMILIES[family]
    return f"""## Citation
```bibtex
@misc{{{family}_{row.arxiv.replace(".", "_")},
  title = {{{row.paper}}},
  eprint = {{{row.arxiv}}},
  archivePrefix = {{arXiv}}
}}
```"""
