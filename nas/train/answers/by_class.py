"""What a network answers, class by class: accuracy of each, confusion, and how far its confidence can be believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from accelerate import Accelerator

BINS = 15  # of confidence, equally wide, as in arXiv 1706.04599
CONFUSION_CLASSES = 100  # more are not written as a matrix


@dataclass(frozen=True)
class Answers:
    """The answers of a network: for each image the class it says and the probability it gives that class."""

    predicted: list[Tensor] = field(default_factory=list)
    confidence: list[Tensor] = field(default_factory=list)

    @contextmanager
    def of(self, network: nn.Module) -> Iterator[None]:
        """Note what `network` answers to whatever it is asked meanwhile."""

        def note(module: nn.Module, images: Any, logits: Tensor) -> None:
            confidence, predicted = logits.float().softmax(1).max(1)
            self.predicted.append(predicted.cpu())
            self.confidence.append(confidence.cpu())

        hook = network.register_forward_hook(note)
        try:
            yield
        finally:
            hook.remove()

    def of_all(self, images: int, batch_size: int, accelerator: Accelerator) -> Answers:
        """These and those of the other processes, which shared so many `images` in batches, in the images' order."""
        rank, processes = accelerator.process_index, accelerator.num_processes
        if processes == 1:
            return self
        rows = torch.cat([batch[rank::processes] for batch in torch.arange(images).split(batch_size)])
        whole = torch.zeros(2, images, dtype=torch.float64)  # whole numbers and float32 are exact in it
        if self.predicted:  # of few images, a process may have seen none
            whole[:, rows] = torch.stack([torch.cat(some).double() for some in (self.predicted, self.confidence)])
        predicted, confidence = accelerator.reduce(whole.to(accelerator.device)).cpu()
        return Answers([predicted.long()], [confidence.float()])

    def record(self, labels: Tensor, class_names: Sequence[str]) -> dict[str, Any]:
        """Plain data about them, where `labels` (N,) are right.

        `class_percent`: by class, the share of its images that are answered rightly (null: it has none). `confusion`:
        images by right class (row) and answer (column); null above 100 classes. `calibration_error_percent`: see
        `calibration_error`.
        """
        predicted, count = torch.cat(self.predicted), len(class_names)
        images, right = (
            torch.bincount(some, minlength=count).tolist() for some in (labels, labels[predicted == labels])
        )
        shares = [100 * hits / total if total else None for hits, total in zip(right, images, strict=True)]
        confusion = None
        if count <= CONFUSION_CLASSES:  # of 100,000 classes the matrix would take 80 GB
            table = torch.bincount(labels * count + predicted, minlength=count * count)
            confusion = table.view(count, count).tolist()
        error = calibration_error(torch.cat(self.confidence), predicted == labels)
        return {
            "class_percent": dict(zip(class_names, shares, strict=True)),
            "confusion": confusion,
            "calibration_error_percent": 100 * error,
            "calibration_bins": BINS,
        }


def calibration_error(confidence: Tensor, right: Tensor, bins: int = BINS) -> float:
    """The expected calibration error, from 0 to 1, of `confidence` (N,) in (0, 1] and whether each answer is `right`.

    The mean over images of |accuracy - mean confidence| of their bin, bin m holding confidences in ((m - 1) / M, m / M]
    (Guo et al., arXiv 1706.04599, equation 3).
    """
    places = ((confidence.double() * bins).ceil().long() - 1).clamp(0, bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64).index_add_(0, places, right.double() - confidence.double())
    return float(gaps.abs().sum() / len(confidence))


def hardest(record: Mapping[str, Any], most: int = 3) -> str:
    """The classes that are answered worst of those that are not all right, and what they are taken for, in a phrase."""
    shares = {name: share for name, share in record["class_percent"].items() if share is not None and share < 100}
    names, phrases = list(record["class_percent"]), []
    for name in sorted(shares, key=lambda name: shares[name])[:most]:
        phrase = f"{name} {shares[name]:.1f}%"
        if record["confusion"] is not None:
            row = list(record["confusion"][names.index(name)])
            row[names.index(name)] = -1
            phrase += f" (taken for {names[row.index(max(row))]})"
        phrases.append(phrase)
    return ", ".join(phrases) or "none: all images are answered rightly"
