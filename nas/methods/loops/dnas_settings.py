"""The hyper-parameters of FBNet's search; see `nas.methods.dnas`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nas.methods.loops.alternating import Alternating


@dataclass(kw_only=True)
class DNASSettings(Alternating):
    """What FBNet's search is told beside the settings of every search in two alternating parts.

    `negligible`: weight below which a candidate of a soft path is not executed; see `supernets.paths.draw_path`.
    """

    mode: Literal["soft", "top2", "hard"]
    loss: Literal["ce", "fbnet"]
    alpha: float
    beta: float
    negligible: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.alpha > 0:
            raise ValueError(f"alpha must be > 0, got {self.alpha}")
        if not self.beta >= 0:
            raise ValueError(f"beta must be >= 0, got {self.beta}; above 0 slower networks cost more")
        if not 0 <= self.negligible < 1:
            raise ValueError(f"negligible must lie in [0, 1), got {self.negligible}")
        if self.compile and (self.mode != "soft" or self.negligible):
            raise ValueError(
                f"compile=true compiles one step that runs all candidates, mode={self.mode} and negligible="
                f"{self.negligible:g} run others each time; give method.mode=soft method.negligible=0 with it"
            )
