"""One of several processes that computes by itself, while the others wait or do something else."""

from __future__ import annotations

from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedType

from nas.train.accelerator import make_accelerator


class Alone(Accelerator):
    """What Accelerate offers, for this process only: nothing is wrapped, reduced or gathered over the others."""

    @property
    def distributed_type(self) -> DistributedType:
        return DistributedType.NO

    @property
    def num_processes(self) -> int:
        return 1

    @property
    def process_index(self) -> int:
        return 0

    @property
    def is_main_process(self) -> bool:
        return True

    def reduce(self, tensor: Any, reduction: str = "sum", scale: float = 1.0) -> Any:
        return tensor

    def gather(self, tensor: Any) -> Any:
        return tensor


def alone(accelerator: str = "auto", precision: str = "no") -> Accelerator:
    """As `make_accelerator`, but for this process by itself, however many were launched."""
    made = make_accelerator(accelerator, precision)
    if made.num_processes == 1:
        return made
    return Alone(cpu=made.device.type == "cpu", mixed_precision=precision)
