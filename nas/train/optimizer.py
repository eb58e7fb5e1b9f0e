"""A recipe's optimiser and learning-rate schedule, by timm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.optim import Optimizer

from search_spaces.recipe import Recipe

_MOMENTUM = ("sgd", "nesterov", "rmsprop", "rmsproptf")
_FUSED = ("sgd", "nesterov", "adam", "adamw")  # torch's own: one kernel for all parameters, on CPU and CUDA
_TIMM_NAMES = {"sgd": "momentum", "nesterov": "nesterov"}  # timm's "sgd" is Nesterov's


def make_optimizer(network: nn.Module, recipe: Recipe, layer_decay: float | None = None) -> Optimizer:
    """`recipe`'s optimiser for what learns of `network`; weight decay spares biases and batch norms.

    `layer_decay`: each layer's share of the learning rate of the next one, the classifier having all of it; as timm
    groups layers, by `group_matcher` of the network.
    """
    extra: dict[str, Any] = {"fused": True} if recipe.optimizer in _FUSED else {}
    if recipe.eps is not None:
        extra["eps"] = recipe.eps
    if recipe.second_moment is not None:
        if recipe.optimizer in ("rmsprop", "rmsproptf"):
            extra["alpha"] = recipe.second_moment
        elif recipe.optimizer not in _MOMENTUM:
            extra["betas"] = (recipe.momentum, recipe.second_moment)
    return create_optimizer_v2(
        network,
        _TIMM_NAMES.get(recipe.optimizer, recipe.optimizer),
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        momentum=recipe.momentum,
        layer_decay=layer_decay,
        **extra,
    )


def sparing_norms(
    network: nn.Module, weights: Iterable[nn.Parameter], weight_decay: float, extra: Iterable[nn.Parameter] = ()
) -> list[dict[str, Any]]:
    """Parameter groups of a supernet's `weights`: batch norms do not decay, all others do, and so does `extra`."""
    norms = {id(p) for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    weights = list(weights)
    return [
        {"params": [*(p for p in weights if id(p) not in norms), *extra], "weight_decay": weight_decay},
        {"params": [p for p in weights if id(p) in norms], "weight_decay": 0.0},
    ]


def make_scheduler(optimizer: Optimizer, recipe: Recipe, steps_per_epoch: int) -> Scheduler:
    """`recipe`'s schedule; `step_update(step)` sets the learning rate of a step, a pure function of `step`."""
    names = {"cosine": "cosine", "multistep": "multistep", "step": "step", "linear": "poly", "constant": "multistep"}
    scheduler, _ = create_scheduler_v2(
        optimizer,
        names[recipe.schedule],
        num_epochs=recipe.epochs,
        decay_milestones=list(recipe.milestones),
        decay_epochs=recipe.decay_epochs,
        decay_rate=1.0 if recipe.schedule == "linear" else recipe.decay_rate,
        min_lr=recipe.min_lr,
        warmup_lr=recipe.warmup_lr,
        warmup_epochs=recipe.warmup,  # type: ignore[arg-type]  # a float counts in steps
        step_on_epochs=False,
        updates_per_epoch=steps_per_epoch,
    )
    assert scheduler is not None
    return scheduler
