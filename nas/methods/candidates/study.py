"""What a study of trained candidates depends on: everything their scores do, and everything their choice does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nas.methods.candidates.training_job import TrainingJob
from nas.train.training import TRAINING_VERSION
from search_spaces.plain_data.identity import Identity, digest
from search_spaces.pricing.budgets import Feasible
from search_spaces.wrappers.joint import JointSpace


def study_identity(feasible: Feasible, method: object, job: TrainingJob, stop_correlation: float | None) -> Identity:
    """The identity of the study in which `method` looks for candidates within the budgets of `feasible`.

    `job`: how any one of them is trained; what is the same in all jobs counts. A score depends on the space, the
    data's content, the recipe, split, seed, precision, kind of device and on the training's code; which candidates were
    proposed, on the method and the budgets besides. How many are trained, in what rounds and where may change.
    """
    space = feasible.space
    assert isinstance(space, JointSpace)
    searched = {variable.name for variable in space.recipes.variables}
    return {
        "space": space.name,
        "networks": space.architectures.fingerprint,
        "recipe": {name: value for name, value in job.recipe.items() if name not in searched},
        "recipe_space": {v.name: list(v.choices) for v in space.recipes.variables},
        "data": job.fingerprint,
        "validation_fraction": job.validation_fraction,
        "seed": job.seed,
        "precision": job.precision,
        "accelerator": _kind_of_device(job.accelerator),
        "training_version": TRAINING_VERSION,
        "stop_correlation": stop_correlation,
        "method": described(method),
        "budget": {limit.name: limit.limit for limit in feasible.limits},
        "costs": {limit.name: _cost_digest(limit.cost.tables, limit.cost.fixed) for limit in feasible.limits},
    }


def described(value: Any) -> Any:
    """The class and settings of a card's object, and of the objects in it, as plain data."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [described(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(key): described(entry) for key, entry in value.items()}
    if hasattr(value, "__qualname__"):  # a class or a function
        return f"{value.__module__}.{value.__qualname__}"
    if not hasattr(value, "__dict__"):  # numpy's numbers and arrays
        return described(value.tolist()) if hasattr(value, "tolist") else repr(value)
    name = described(type(value))
    return {"_target_": name, **{key: described(entry) for key, entry in vars(value).items()}}


def _kind_of_device(accelerator: str) -> str:
    """What `auto` means here: CPU and GPU round otherwise."""
    return "cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu"


def _cost_digest(tables: tuple[np.ndarray, ...], fixed: float) -> str:
    return digest([float(fixed).hex(), [[float(x).hex() for x in table.reshape(-1)] for table in tables]])
