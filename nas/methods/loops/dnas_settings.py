"""The hyper-parameters of FBNet's search; see `nas.methods.dnas`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nas.methods.loops.alternating import Alternating


@dataclass(kw_only=True)
class DNASSettings(Alternating):
    """What FBNet's search is told beside the settings of every search in two alternating parts."""

    mode: Literal["soft", "top2", "hard"]
    loss: Literal["ce", "fbnet"]
    alpha: float
    beta: float
