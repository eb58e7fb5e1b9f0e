"""An exported file's answers beside torch's: the same logits, or in eight bits the accuracy that is lost."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nas.data import ImageData
from nas.export.formats.base import Format, Run
from nas.networks.network import FlatNetwork, Network
from nas.runs.seeding import generator

TOLERANCE = 1e-4  # of the largest logit: fp32 runtimes sum in other orders, which costs some 1e-6
RANDOM_BATCHES = (1, 2, 5)
REAL_IMAGES = 256
LARGEST_DROP = 5.0  # percentage points
BATCH = 64

AnyNetwork = Network | FlatNetwork


@dataclass(frozen=True)
class Comparison:
    """How a file is compared with torch: the logits of both on random images, drawn from `seed`, and on up to 256 test
    images of `data` (None: none). The largest difference must not exceed `tolerance` times the largest logit.

    A file in eight bits computes otherwise by its nature: on all test images its top-1 accuracy must not be more than
    `largest_drop` percentage points below torch's (100: it may lose all).
    """

    data: ImageData | None = None
    tolerance: float = TOLERANCE
    seed: int = 0
    largest_drop: float = LARGEST_DROP

    def check(self, network: AnyNetwork) -> None:
        """Raise `ValueError` for data of another shape than `network` takes."""
        arch, data = network.arch, self.data
        if data is None:
            return
        found = (data.num_classes, data.in_channels, data.resolution)
        wanted = (arch.num_classes, arch.in_channels, arch.resolution)
        if found != wanted:
            raise ValueError(
                f"data {data.name} has {found[0]} classes and {found[1]}x{found[2]}px images, the network takes "
                f"{wanted[0]} classes and {wanted[1]}x{wanted[2]}px; give data the network was made for, or data=null"
            )

    def on_random(self, network: AnyNetwork, run: Run, chosen: Format, batch_size: int) -> dict[str, Any]:
        """`max_difference, largest_logit, images` of random images."""
        sizes = RANDOM_BATCHES if chosen.dynamic_batch else (batch_size,)
        stream = generator(self.seed, "export", "parity")
        batches = [torch.randn(size, *network.arch.input_shape, generator=stream) for size in sizes]
        expected, found = _both(network, run, batches)
        return _compare(expected, found, self.tolerance, f"random images ({chosen.name})")

    def on_real(self, network: AnyNetwork, run: Run, chosen: Format, batch_size: int) -> dict[str, Any] | None:
        """The same of test images, with `same_top1_percent` and `top1_percent`; None without data."""
        data = self.data
        if data is None:
            return None
        size = BATCH if chosen.dynamic_batch else batch_size
        count = max(min(REAL_IMAGES, len(data.test)) // size, 1) * size
        chosen_rows = torch.linspace(0, len(data.test) - 1, min(count, len(data.test))).long()
        batches, labels = [], []
        for images, targets in data.test.subset(chosen_rows).in_order(size):
            if chosen.dynamic_batch or len(images) == size:
                batches.append(images)
                labels.append(targets.numpy())
        if not batches:
            raise ValueError(f"data {data.name} has fewer test images than one batch of {size}")
        expected, found = _both(network, run, batches)
        result = _compare(expected, found, self.tolerance, f"images of {data.name} ({chosen.name})")
        result["same_top1_percent"] = float(100 * np.mean(expected.argmax(1) == found.argmax(1)))
        result["top1_percent"] = float(100 * np.mean(found.argmax(1) == np.concatenate(labels)))
        return result

    def in_eight_bits(self, network: AnyNetwork, run: Run) -> dict[str, Any]:
        """What the file's answers to all test images are worth beside torch's.

        `images`; `top1_percent` of the file and `float_top1_percent` of torch; `drop_points` between them and its
        standard error `drop_error`, of differences image by image; `same_top1_percent`: how often both say the same
        class; `max_difference` of logits and the `largest_logit`; `answers_sha256`: the digest of the file's classes as
        little-endian int64, in the order of the test split. Raises `ValueError` for too large a drop.
        """
        if self.data is None:
            raise ValueError(
                "a file in eight bits is calibrated on training images and judged by test images: give data="
            )
        expected, found = _both(network, run, (images for images, _ in self.data.test.in_order(BATCH)))
        labels = self.data.test.labels.numpy()
        answers = found.argmax(1)
        lost = (expected.argmax(1) == labels).astype(float) - (answers == labels)
        result = {
            **_differences(expected, found),
            "same_top1_percent": float(100 * np.mean(expected.argmax(1) == answers)),
            "top1_percent": float(100 * np.mean(answers == labels)),
            "float_top1_percent": float(100 * np.mean(expected.argmax(1) == labels)),
            "drop_points": float(100 * lost.mean()),
            "drop_error": float(100 * lost.std(ddof=1) / len(lost) ** 0.5) if len(lost) > 1 else None,
            "answers_sha256": hashlib.sha256(answers.astype("<i8").tobytes()).hexdigest(),
        }
        if not result["drop_points"] <= self.largest_drop:
            raise ValueError(
                f"the file in eight bits is right on {result['top1_percent']:.2f}% of the test images of "
                f"{self.data.name}, torch on {result['float_top1_percent']:.2f}%: a loss of "
                f"{result['drop_points']:.2f} points, allowed {self.largest_drop:g}; give more calibration_images, "
                "another calibration, or a larger largest_drop; nothing was written"
            )
        return result


BY_DEFAULT = Comparison()


def _both(network: AnyNetwork, run: Run, batches: list[torch.Tensor] | Iterator[torch.Tensor]) -> tuple[Any, Any]:
    """Logits of torch and of the exported file."""
    expected, found = [], []
    with torch.inference_mode():
        for batch in batches:
            expected.append(network(batch).numpy())
            found.append(run(batch.numpy()))
    return np.concatenate(expected), np.concatenate(found)


def _differences(expected: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    largest, difference = float(np.abs(expected).max()), float(np.abs(expected - found).max())
    return {"max_difference": difference, "largest_logit": largest, "images": len(expected)}


def _compare(expected: np.ndarray, found: np.ndarray, tolerance: float, what: str) -> dict[str, Any]:
    if expected.shape != found.shape:
        raise ValueError(f"the exported file returns {found.shape} on {what}, torch {expected.shape}")
    result = _differences(expected, found)
    largest, difference = result["largest_logit"], result["max_difference"]
    if not difference <= tolerance * largest:
        raise ValueError(
            f"the exported file differs from torch on {what}: {difference:.3g} with a largest logit of {largest:.3g}, "
            f"allowed {tolerance:g} of it; nothing was written"
        )
    return result
