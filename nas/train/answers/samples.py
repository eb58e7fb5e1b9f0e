"""A few test images beside the answers to them, as small pictures: of each class one that is answered rightly, and the
wrong answers that the network is surest of."""

from __future__ import annotations

import base64
import io
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from nas.data.split import Split

MOST = 12  # of either kind
SIDE = 64  # pixels at most, so that a page of them stays small


def samples(split: Split, predicted: Tensor, confidence: Tensor) -> dict[str, list[dict[str, Any]]]:
    """`right` and `wrong` answers to the images of `split`, `predicted` (N,) with `confidence` (N,).

    Each with its `row` in the split, `label`, `answer`, `confidence` and its `picture`, a PNG in base 64.
    """
    labels = split.labels.cpu()
    parts = {"right": _one_a_class(predicted, labels), "wrong": _surest(predicted != labels, confidence)}
    found: dict[str, list[dict[str, Any]]] = {}
    for name, rows in parts.items():
        pictures = [] if not len(rows) else [picture(pixels) for pixels in _pixels(split, rows)]
        found[name] = [
            {
                "row": row,
                "label": int(labels[row]),
                "answer": int(predicted[row]),
                "confidence": round(float(confidence[row]), 4),
                "picture": shown,
            }
            for row, shown in zip(rows.tolist(), pictures, strict=True)
        ]
    return found


def _one_a_class(predicted: Tensor, labels: Tensor) -> Tensor:
    """Of each class the first image that is answered rightly, of the first classes where there are many."""
    rows = [(labels == k).logical_and(predicted == k).nonzero()[:1] for k in labels.unique(sorted=True)]
    return torch.cat(rows).flatten()[:MOST]


def _surest(wrong: Tensor, confidence: Tensor) -> Tensor:
    rows = wrong.nonzero().flatten()
    return rows[confidence[rows].argsort(descending=True, stable=True)][:MOST]


def _pixels(split: Split, rows: Tensor) -> Tensor:
    """The images at `rows` as a network gets them, normalisation undone: (N, C, H, W), from 0 to 1.

    Numbers in a unit of their own are spread over that range, image by image.
    """
    images = next(split.subset(rows).in_order(len(rows)))[0]
    images = images * split.std[:, None, None] + split.mean[:, None, None]
    if split.source.one == 1.0:
        low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
        images = (images - low) / (high - low).clamp(min=1e-12)
    return images.clamp(0, 1)


def picture(pixels: Tensor) -> str:
    """`pixels` (C, H, W) from 0 to 1 as a PNG of at most 64 x 64 pixels in base 64: three channels in colour, of any
    other number the first in grey."""
    whole = (pixels if len(pixels) == 3 else pixels[:1]).mul(255).round().byte()
    shown = Image.fromarray(whole.permute(1, 2, 0).numpy() if len(whole) == 3 else whole[0].numpy())
    shown.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    shown.save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
