"""Networks taken out of a trained supernet, ready for use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nas.data.card import DataSource
from nas.methods.elastic.network import ElasticNetwork
from nas.networks.network import FlatNetwork, Network
from nas.train.accelerator import Compute
from nas.train.averaging import estimate_statistics
from search_spaces.arch import Arch
from search_spaces.space import Genotype


@dataclass(frozen=True)
class Inheritance:
    """From a genotype (`decode` gives its arch) to its network with the weights of `supernet`.

    Its batch-norm statistics are estimated anew from the training images of `source` at its resolution, in batches of
    `batch_size`, drawn by `seed`.
    """

    decode: Callable[[Genotype], Arch]
    supernet: ElasticNetwork
    source: DataSource
    batch_size: int
    seed: int
    compute: Compute

    def __call__(self, genotype: Genotype) -> Network | FlatNetwork:
        arch = self.decode(genotype)
        network = self.supernet.extract(arch).to(self.compute.here.device)
        estimate_statistics(network, self.source.at(arch.resolution).train, self.batch_size, self.seed)
        return network
