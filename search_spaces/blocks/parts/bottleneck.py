"""A bottleneck by its parts, whatever its kind calls them, for supernets that run several as one."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn


class Bottleneck(NamedTuple):
    """`[start] -> expand (1x1), norm -> [shuffle] -> depthwise, norm -> [se] -> project (1x1), norm -> [scale]`.

    What is not there is an identity. `groups`: of both 1x1 convolutions, channels shuffled between them where there is
    more than one.
    """

    expand: Any
    expand_norm: Any
    depthwise: Any
    depthwise_norm: Any
    se: Any
    project: Any
    project_norm: Any
    groups: int = 1
    start: nn.Module = nn.Identity()
    scale: nn.Module = nn.Identity()
