"""`Recipe`: how a network is trained, as plain data. A joint candidate of a search is an `(Arch, Recipe)`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from search_spaces.augment import AUGMENTS
from search_spaces.plain_data import fields

OPTIMIZERS = ("sgd", "nesterov", "adam", "adamw", "nadamw", "rmsprop", "rmsproptf", "lamb", "lion")
_MOMENTUM = 0.9
SCHEDULES = ("cosine", "multistep", "step", "linear", "constant")
_OF_SCHEDULES = {
    "min_lr": ("cosine", "linear"),
    "decay_rate": ("multistep", "step"),
    "decay_epochs": ("step",),
}  # `milestones` are refused by all but multistep


@dataclass(frozen=True, slots=True)
class Recipe:
    """Training hyper-parameters. Epoch counts may be fractions where a step count follows from them.

    `optimizer`: one of `OPTIMIZERS` (timm's names; `sgd` is plain heavy-ball, `nesterov` Nesterov's, `rmsproptf`
    TensorFlow's RMSProp). `momentum`: of sgd, nesterov and the RMSProps; `beta2`, of Adam's family, and `alpha`, the
    RMSProps' decay, are `second_moment`; None leaves the optimiser's own. `eps`: None leaves the optimiser's own.
    `weight_decay` is not applied to biases and batch norms.

    `schedule`: the learning rate climbs linearly from `warmup_lr` to `lr` in `warmup_epochs` (None: a tenth of the
    epochs, however many there are; see `warmup`), then `cosine` or
    `linear` takes it to `min_lr` at the end, `multistep` multiplies it by `decay_rate` at each of `milestones`
    (epochs), `step` every `decay_epochs`. It moves every step, not every epoch.

    `label_smoothing`: in [0, 1). `clip_grad`: largest gradient norm, 0 for none. `ema_decay`: of the moving average
    of weights that is evaluated in their place, 0 for none. `mixup`, `cutmix`: alpha of their beta distribution, 0
    for none. `drop_rate`: dropout before the classifier; `drop_path_rate`: largest stochastic-depth rate. `augment`:
    one of `AUGMENTS`. `zero_init_residual`: residual blocks start as the identity; what makes short trainings work.

    Raises `ValueError` for a value out of its range, naming the range, and for values that exclude each other.
    """

    epochs: int
    batch_size: int
    lr: float
    optimizer: str = "sgd"
    momentum: float = _MOMENTUM
    second_moment: float | None = None
    eps: float | None = None
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup_epochs: float | None = 0.0
    warmup_lr: float = 0.0
    min_lr: float = 0.0
    milestones: tuple[int, ...] = ()
    decay_rate: float = 0.1
    decay_epochs: float = 1.0
    label_smoothing: float = 0.0
    clip_grad: float = 0.0
    ema_decay: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    augment: str = "none"
    zero_init_residual: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones))
        known = fields.types_of(Recipe)
        for field in dataclasses.fields(self):
            fields.check(getattr(self, field.name), known[field.name], f"recipe: {field.name}")
        for name in ("epochs", "batch_size"):
            _require(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("lr", "decay_epochs", "decay_rate"):
            _require(self, name, getattr(self, name) > 0, "greater than 0")
        _require(self, "warmup_epochs", self.warmup >= 0, "0 or greater, or null")
        for name in ("weight_decay", "warmup_lr", "min_lr", "clip_grad", "mixup", "cutmix"):
            _require(self, name, getattr(self, name) >= 0, "0 or greater")
        for name in ("momentum", "label_smoothing", "ema_decay", "drop_rate", "drop_path_rate"):
            _require(self, name, 0 <= getattr(self, name) < 1, "at least 0 and less than 1")
        if self.second_moment is not None:
            _require(self, "second_moment", 0 <= self.second_moment < 1, "at least 0 and less than 1")
        if self.eps is not None:
            _require(self, "eps", self.eps > 0, "greater than 0")
        for name, options in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("augment", AUGMENTS)):
            _require(self, name, getattr(self, name) in options, f"one of {', '.join(options)}")
        constraint = f"less than epochs ({self.epochs}), or null, a tenth of them"
        _require(self, "warmup_epochs", self.warmup < self.epochs, constraint)
        if self.schedule == "multistep":
            constraint = f"rising epochs between 1 and {self.epochs}, for schedule multistep"
            rising = all(a < b for a, b in zip(self.milestones, self.milestones[1:], strict=False))
            inside = bool(self.milestones) and self.milestones[0] >= 1 and self.milestones[-1] <= self.epochs
            _require(self, "milestones", rising and inside, constraint)
        elif self.milestones:
            raise ValueError(f"recipe: milestones belong to schedule multistep, the schedule is {self.schedule!r}")
        if (self.mixup or self.cutmix) and self.batch_size % 2:
            raise ValueError(
                f"recipe: mixup and cutmix pair the images of a batch; batch_size {self.batch_size} is odd"
            )

    @property
    def warmup(self) -> float:
        """Epochs of warm-up."""
        return self.epochs / 10 if self.warmup_epochs is None else self.warmup_epochs

    @property
    def idle(self) -> dict[str, str]:
        """Settings that have a value of their own and that change nothing in the training, and why they do not."""
        unknown = {"sgd": ("second_moment", "eps"), "nesterov": ("second_moment", "eps"), "lion": ("eps",)}
        found: dict[str, str] = {}
        is_adams = self.optimizer not in ("sgd", "nesterov", "rmsprop", "rmsproptf")
        if is_adams and self.second_moment is None:  # its betas come in a pair
            found["momentum"] = f"{self.optimizer} takes it beside recipe.second_moment alone"
        found |= dict.fromkeys(unknown.get(self.optimizer, ()), f"{self.optimizer} has no such setting")
        if not self.warmup:
            found["warmup_lr"] = "there is no warm-up (recipe.warmup_epochs)"
        for name, schedules in _OF_SCHEDULES.items():
            if self.schedule not in schedules:
                found[name] = f"schedule {self.schedule} has no such setting"
        return {name: why for name, why in found.items() if getattr(self, name) != _DEFAULTS[name]}

    @property
    def acting(self) -> Recipe:
        """The recipe with its `idle` settings at their defaults: one for all that train alike."""
        idle = self.idle
        return dataclasses.replace(self, **{name: _DEFAULTS[name] for name in idle}) if idle else self

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON: `from_dict(to_dict()) == self`."""
        data = dataclasses.asdict(self)
        data["milestones"] = list(self.milestones)
        return data

    @staticmethod
    def from_dict(data: Any) -> Recipe:
        """The recipe that `to_dict` wrote. Raises `ValueError` naming what is missing, unknown or out of range."""
        if not isinstance(data, dict):
            raise ValueError(f"a recipe is a JSON object, got {type(data).__name__}")
        known = [field.name for field in dataclasses.fields(Recipe)]
        unknown = sorted(str(key) for key in set(data) - set(known))
        if unknown:
            raise ValueError(f"a recipe has no key {unknown[0]!r}; its keys are {', '.join(known)}")
        missing = [name for name in ("epochs", "batch_size", "lr") if name not in data]
        if missing:
            raise ValueError(f"a recipe needs {', '.join(missing)}")
        milestones = data.get("milestones", [])
        if not isinstance(milestones, list | tuple):
            raise ValueError(f"recipe: milestones must be a list of epochs, got {milestones!r}")
        return Recipe(**{**data, "milestones": tuple(milestones)})


_DEFAULTS: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(Recipe)}


def _require(recipe: Recipe, name: str, holds: bool, constraint: str) -> None:
    if not holds:
        raise ValueError(f"recipe: {name} must be {constraint}, got {getattr(recipe, name)!r}")
