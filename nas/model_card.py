"""The model card: `README.md` in the form the Hugging Face Hub reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from nas.network import FlatNetwork, Network, build_network
from search_spaces.recipe import Recipe
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


def write(
    name: str,
    network: Network | FlatNetwork,
    pretrained_cfg: Mapping[str, Any],
    dataset: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    recipe: Recipe | None = None,
    family: str | None = None,
    origin: str = "",
) -> str:
    """The card of `network`, called `name` after its folder.

    Figures follow from the arch: parameters, multiply-adds (GMACs) and activations (output elements of convolutions
    and linear layers) for one image of the arch's resolution. `metrics` and `recipe` list what is known of the run;
    `family`, where it is a key of `search_spaces.zoo.FAMILIES`, gives paper and citation; a network of a user's own
    space has neither.
    """
    arch = network.arch
    parts = [_front_matter(pretrained_cfg["license"], dataset), f"# Model card for {name}"]
    parts.append(origin or "An image classification network, found or trained under a latency budget.")
    stats = [
        "## Model details",
        "- **Model type:** image classification / feature backbone",
        "- **Model stats:**",
        f"  - Params (M): {arch.params / 1e6:.1f}",
        f"  - GMACs: {_gmacs(arch.macs)}",
        f"  - Activations (M): {arch.activations / 1e6:.1f}",
        f"  - Image size: {arch.resolution} x {arch.resolution}",
        f"- **Exactly:** {arch.params:,} parameters, {arch.macs:,} MACs, {arch.activations:,} activations, "
        f"{arch.in_channels} input channels, {arch.num_classes} classes; arch id `{arch.id}`",
    ]
    if family in FAMILIES:
        stats.append(f"- **Paper:** {FAMILIES[family].paper}: https://arxiv.org/abs/{FAMILIES[family].arxiv}")
    if dataset:
        stats.append(f"- **Dataset:** {dataset}")
    parts.append("\n".join(stats))
    results = _results(metrics or {})
    if results:
        parts.append("## Results\n" + results)
    if recipe is not None:
        parts.append("## Recipe\n" + "\n".join(f"- {key}: {value}" for key, value in recipe.to_dict().items()))
    parts.append(_usage(name, network))
    if family in FAMILIES:
        parts.append(_citation(family))
    return "\n\n".join(parts) + "\n"


def _front_matter(license: str, dataset: str | None) -> str:
    lines = ["---", f"license: {license}", "library_name: timm", "tags:"]
    lines += ["- image-classification", "- timm", "- neural-architecture-search"]
    if dataset:
        lines += ["datasets:", f"- {dataset}"]
    return "\n".join([*lines, "---"])


def _gmacs(macs: int) -> str:
    """One digit behind the point as on timm's cards; two significant digits below 0.1."""
    return f"{macs / 1e9:.1f}" if macs >= 1e8 else f"{macs / 1e9:.2g}"


def _results(metrics: Mapping[str, Any]) -> str:
    lines = []
    for key, (label, unit) in METRICS.items():
        value = metrics.get(key)
        if value is not None:
            shown = f"{value:.4g}" if isinstance(value, float) else f"{value}"
            lines.append(f"| {label} | {shown}{f' {unit}' if unit else ''} |")
    return "\n".join(["| figure | value |", "| --- | --- |", *lines]) if lines else ""


def _usage(name: str, network: Network | FlatNetwork) -> str:
    arch = network.arch
    with torch.device("meta"):
        twin = build_network(arch).eval()
        image = torch.empty(1, arch.in_channels, arch.resolution, arch.resolution)
        features, pyramid = twin.forward_intermediates(image)
        embedding = twin.forward_head(features, pre_logits=True)
    mode = {1: "L", 3: "RGB"}.get(arch.in_channels)
    opened = f'Image.open("image.png").convert("{mode}")' if mode else 'Image.open("image.png")'
    shapes = "\n".join(f"# {tuple(part.shape)}" for part in pyramid)
    top = min(5, arch.num_classes)
    return f'''## Model usage
The folder of this card is a model folder: `nas.create_model` loads it, and so does timm once `nas` is imported.

### Image classification
```python
import nas, timm, torch
from PIL import Image

model = nas.create_model("{name}").eval()  # or timm.create_model("local-dir:{name}", pretrained=True)
config = timm.data.resolve_model_data_config(model)
transform = timm.data.create_transform(**config, is_training=False)
image = transform({opened}).unsqueeze(0)
probabilities, classes = model(image).softmax(1).topk({top})
```

### Feature maps
```python
model = nas.create_model("{name}", features_only=True).eval()
features = model(image)
{shapes}
```

### Embeddings
```python
model = nas.create_model("{name}", num_classes=0).eval()
embedding = model(image)  # {tuple(embedding.shape)}
features = model.forward_features(image)  # {tuple(features.shape)}
embedding = model.forward_head(features, pre_logits=True)
```'''


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
