"""Scoring by inheritance: a candidate takes its weights from a trained elastic supernet and is not trained itself."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import safetensors.torch
import torch

from nas.data.card import DataSource
from nas.methods.candidates.executors.base import Work
from nas.methods.candidates.image_job import ImageJob, kind_of_device
from nas.methods.elastic.network import ElasticNetwork
from nas.networks.network import FlatNetwork, Network, build_network
from nas.train.accelerator import Compute
from nas.train.accuracy import evaluate
from nas.train.averaging import estimate_statistics
from search_spaces.arch import modules_of
from search_spaces.plain_data.identity import Identity, digest
from search_spaces.pricing.budgets import Feasible
from search_spaces.space import Genotype
from search_spaces.wrappers.joint import JointSpace

SCORING_VERSION = 1  # raised whenever the same weights would get another score


@dataclass(frozen=True, kw_only=True)
class InheritedJob(ImageJob):
    """The network of `arch` with `weights` (safetensors), to be given batch-norm statistics and evaluated.

    `statistics`: how many training images the statistics come from at most, in batches of `batch_size`.
    """

    weights: bytes
    batch_size: int
    statistics: int


def score_inherited(job: InheritedJob) -> dict[str, Any]:
    """`top1_percent, top5_percent, loss` on the validation images, and the `seconds` it took. Nothing is trained."""
    began = time.perf_counter()
    arch = job.decoded()
    network = build_network(arch)
    network.load_state_dict(safetensors.torch.load(job.weights))
    accelerator = job.alone()
    data = job.images(arch.resolution)
    network.to(accelerator.device).to(memory_format=torch.channels_last)
    estimate_statistics(network, data.train, job.batch_size, job.seed, job.statistics)
    figures = evaluate(network, data.test, accelerator=accelerator)
    return {**figures, "seconds": time.perf_counter() - began}


@dataclass(frozen=True)
class ElasticScorer:
    """Candidates of `space` (one recipe) inherit from `supernet`, whose training depended on `trained`.

    `source`, `fingerprint`, `validation_fraction`, `seed`: the data and which of its training images are held out; the
    supernet was not trained on those. `batch_size`, `statistics`: see `InheritedJob`.
    """

    work: ClassVar[Work] = staticmethod(score_inherited)
    doing: ClassVar[str] = "scoring candidates"
    space: JointSpace
    supernet: ElasticNetwork
    trained: Identity
    source: DataSource
    fingerprint: str
    validation_fraction: float
    seed: int
    batch_size: int
    statistics: int
    compute: Compute

    def job(self, candidate: str, genotype: Genotype) -> InheritedJob:
        arch = self.space.decode(genotype)
        return InheritedJob(
            arch=arch.to_dict(),
            weights=weights_of(self.supernet.extract(arch)),
            data=self.source.card,
            fingerprint=self.fingerprint,
            validation_fraction=self.validation_fraction,
            seed=self.seed,
            batch_size=self.batch_size,
            statistics=self.statistics,
            accelerator=self.compute.accelerator,
            precision=self.compute.precision,
            modules=modules_of(arch),
        )

    def identity(self, feasible: Feasible) -> Identity:
        """The supernet and what it came from, the data's content, split, seed, statistics, precision, device."""
        return {
            "scorer": "elastic",
            "supernet": dict(self.trained),
            "weights": digest_of_weights(self.supernet),
            "data": self.fingerprint,
            "validation_fraction": self.validation_fraction,
            "seed": self.seed,
            "statistics": [self.batch_size, self.statistics],
            "precision": self.compute.precision,
            "accelerator": kind_of_device(self.compute.accelerator),
            "scoring_version": SCORING_VERSION,
        }


def weights_of(network: Network | FlatNetwork) -> bytes:
    """The state of `network` as safetensors."""
    return safetensors.torch.save({name: value.cpu().contiguous() for name, value in network.state_dict().items()})


def digest_of_weights(supernet: ElasticNetwork) -> str:
    """A digest of every weight; not of batch-norm statistics, which no candidate keeps."""
    return digest({name: _sum(value) for name, value in supernet.named_parameters()})


def _sum(value: torch.Tensor) -> str:
    return hashlib.sha256(value.detach().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]
