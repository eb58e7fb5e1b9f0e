"""The hyper-parameters of searches on superkernels; see `nas.methods.single_path`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Literal

from nas.methods.loops.gradient import GradientSearch
from nas.methods.supernets.decision import Decision
from nas.methods.supernets.nested_candidates import Mode


@dataclass(kw_only=True)
class SuperkernelSettings(GradientSearch):
    """What both modes of Single-Path NAS are told. Raises `ValueError` for a value outside its range."""

    mode: Mode
    weight_optimizer: Literal["sgd", "adamw", "rmsproptf"]
    schedule: Literal["cosine", "step"]
    threshold_lr: float
    threshold_betas: list[float]
    latency_weight: float
    keep_probability: float
    label_smoothing: float

    positive: ClassVar[tuple[str, ...]] = ("batch_size", "weight_lr", "threshold_lr", "penalty")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.keep_probability <= 1:
            raise ValueError(f"keep_probability must lie in (0, 1], got {self.keep_probability}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must lie in [0, 1), got {self.label_smoothing}")
        if self.latency_weight < 0:
            raise ValueError(f"latency_weight must be >= 0, got {self.latency_weight}")

    def has_decided(self, decision: Decision, epochs_done: int) -> bool:
        """Whether a search ends before its epochs are spent; never in `mode=paper`.

        There indicators have no noise: the thresholds decide one network at any time. Probabilities by the sigmoid of
        a norm's distance from its threshold are close to 1 from the first step on (norms begin 7 to 27 above), and say
        nothing about how settled a decision is.
        """
        return self.mode == "default" and super().has_decided(decision, epochs_done)

    @property
    def may_change(self) -> Collection[str]:
        """As in every search; more epochs too, where what is done does not depend on how many there will be."""
        return super().may_change if self.schedule == "cosine" else (*super().may_change, "method.epochs")
