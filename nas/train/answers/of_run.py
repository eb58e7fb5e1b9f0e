"""One more pass over the test images when a training has ended: what its network answers."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas.data import ImageData
from nas.runs.files import write_json
from nas.terminal.progress import phase
from nas.train.accuracy import evaluate
from nas.train.answers.by_class import Answers
from nas.train.answers.samples import samples
from nas.train.answers.stored import FILE

MANY = 10_000  # test images, from which on the wait for them is shown


def write_answers(run: Path, network: nn.Module, data: ImageData) -> dict[str, Any]:
    """Write and return `answers.json` of the directory `run`: what `network` answers to the test images of `data`.

    In full precision, by this process alone. See `Answers.record` and `samples` for its figures; `class_images`: test
    images by right class.
    """
    answers, labels = Answers(), data.test.labels.cpu()
    waiting = phase("looking at the answers") if len(data.test) >= MANY else nullcontext()
    with waiting, answers.of(network):
        evaluate(network, data.test)
    counts = torch.bincount(labels, minlength=data.num_classes).tolist()
    found = {
        "test_images": len(data.test),
        "class_images": dict(zip(data.class_names, counts, strict=True)),
        **answers.record(labels, data.class_names),
        "samples": samples(data.test, torch.cat(answers.predicted), torch.cat(answers.confidence)),
    }
    write_json(run / FILE, found)
    return found
