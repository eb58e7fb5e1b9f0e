"""FBNetV3's predictor (arXiv 2006.02049, section 3): pre-trained architecture encoder, recipe joined behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from predictors.base import Statistics
from predictors.encoding import Encoding
from predictors.fbnetv3.settings import FBNetV3Settings
from search_spaces.space import Population, Variable

if TYPE_CHECKING:
    from predictors.fbnetv3.encoders import Pretrained
    from predictors.fbnetv3.networks import MLP


@dataclass(frozen=True)
class FBNetV3(FBNetV3Settings):
    """The card of the predictor; its hyper-parameters are those of `FBNetV3Settings`."""

    def build(
        self,
        *,
        variables: Sequence[Variable],
        recipe_variables: Sequence[Variable] = (),
        statistics: Statistics | None = None,
        seed: int = 0,
        pool: Population | None = None,
        pretrained: Pretrained | None = None,
    ) -> MLP:
        """The predictor, its encoders pre-trained on `statistics` unless `pretrained` ones are given to reuse."""
        from predictors.fbnetv3.networks import MLP

        if pretrained is None:
            pretrained = self.pretrain(variables=variables, statistics=statistics, seed=seed, pool=pool)
        return MLP(self, variables, recipe_variables, pretrained, seed)

    def pretrain(
        self,
        *,
        variables: Sequence[Variable],
        statistics: Statistics | None = None,
        seed: int = 0,
        pool: Population | None = None,
    ) -> Pretrained:
        """The encoders alone: worth keeping where many predictors are fitted."""
        import torch

        from predictors.fbnetv3.encoders import Encoders, Pretrained, pretrain

        rng = torch.Generator().manual_seed(seed)
        encoders = Encoders(Encoding(variables).width, self.encoder, self.members, rng)
        if self.pretraining is None or statistics is None:
            return Pretrained(encoders.requires_grad_(False), (), 0)
        return pretrain(encoders, variables, statistics, self.pretraining, seed, pool)
