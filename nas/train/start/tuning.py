"""What of a network that was trained before goes on learning, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

BACKBONE = "backbone"


@dataclass(frozen=True)
class Tuning:
    """`freeze`: what keeps its weights: beginnings of parameter names (`blocks.0`); `backbone`: all but the classifier.

    Batch norms there keep their statistics as well, and use them. `layer_decay` in (0, 1] (None: 1): the learning rate
    of a layer is that of the next one times it, the classifier's is the recipe's (timm's `layer_decay`).
    """

    freeze: tuple[str, ...] = ()
    layer_decay: float | None = None

    def __post_init__(self) -> None:
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must be greater than 0 and at most 1, got {self.layer_decay}")

    @classmethod
    def of(cls, freeze: str | Sequence[str] | None, layer_decay: float | None) -> Tuning:
        """From settings: one beginning or several."""
        found = () if freeze is None else (freeze,) if isinstance(freeze, str) else tuple(freeze)
        return cls(found, layer_decay)

    def identity(self) -> dict[str, Any]:
        """What a training depends on of it; nothing where all weights learn alike."""
        frozen = {"freeze": list(self.freeze)} if self.freeze else {}
        return frozen | ({"layer_decay": self.layer_decay} if self.layer_decay is not None else {})

    def frozen(self, network: nn.Module) -> frozenset[str]:
        """The names of the parameters of `network` that keep their values.

        Raises `ValueError` for a beginning that no name has, and where nothing would learn.
        """
        names = [name for name, _ in network.named_parameters()]
        found: set[str] = set()
        for given in self.freeze:
            some = _backbone(network, names) if given == BACKBONE else {n for n in names if _begins(n, given)}
            if not some:
                known = sorted({".".join(name.split(".")[: 2 if name.startswith("blocks.") else 1]) for name in names})
                raise ValueError(
                    f"freeze={given}: no weights of the network are called so; there are {', '.join(known)}"
                )
            found |= some
        if names and len(found) == len(names):
            raise ValueError(f"freeze={','.join(self.freeze)} leaves nothing to learn; freeze less, such as {BACKBONE}")
        return frozenset(found)

    def sentence(self, network: nn.Module) -> str:
        """What learns and how fast, in words; empty where all weights learn alike."""
        frozen, parts = self.frozen(network), []
        if frozen:
            sizes = {name: weight.numel() for name, weight in network.named_parameters()}
            kept = sum(sizes[name] for name in frozen)
            parts.append(f"{kept:,} of {sum(sizes.values()):,} parameters are frozen ({', '.join(self.freeze)})")
        if self.layer_decay is not None:
            parts.append(f"learning rates fall by {self.layer_decay:g} a layer from the classifier to the stem")
        return "; ".join(parts)


NOTHING_TUNED = Tuning()


class Frozen:
    """`names` of the parameters of `network` that do not learn, from now on until `thaw`."""

    def __init__(self, network: nn.Module, names: frozenset[str]) -> None:
        self.network, self.names = network, names
        self.norms = frozenset(
            name
            for name, module in network.named_modules()
            if isinstance(module, nn.BatchNorm2d) and any(_begins(known, name) for known in names)
        )
        self._learn(False)

    def rest(self) -> None:
        """Let the frozen batch norms of a network in training use the statistics they have, and leave them alone."""
        for name in self.norms:
            self.network.get_submodule(name).eval()

    def thaw(self) -> None:
        self._learn(True)

    def _learn(self, learns: bool) -> None:
        for name, weight in self.network.named_parameters():
            if name in self.names:
                weight.requires_grad_(learns)


def _begins(name: str, start: str) -> bool:
    return name == start or name.startswith(f"{start}.")


def _backbone(network: nn.Module, names: list[str]) -> set[str]:
    classifier = getattr(network, "get_classifier", None)
    if classifier is None:
        raise ValueError(f"freeze={BACKBONE}: the network does not say which its classifier is; name what is frozen")
    head: set[torch.nn.Parameter] = set(classifier().parameters())
    return {name for name in names if network.get_parameter(name) not in head}
