"""Where training runs: one Accelerate object for CPU, one GPU or several."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar, get_args

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object
from torch import Tensor, nn

from nas.data.split import Place
from nas.train.settings import Precision, Where

ACCELERATORS, PRECISIONS = get_args(Where), get_args(Precision)
T = TypeVar("T")


@dataclass(frozen=True)
class Compute:
    """Where trainings run, as it is asked: `accelerator` auto, cpu or cuda; mixed `precision` no, bf16 or fp16.

    `sync_batch_norm`: see `make_accelerator`.
    """

    accelerator: str = "auto"
    precision: str = "no"
    sync_batch_norm: bool = False

    def __post_init__(self) -> None:
        _ = self.here  # refused at once where it cannot be used here

    @functools.cached_property
    def here(self) -> Accelerator:
        """This process's Accelerate object."""
        return make_accelerator(self.accelerator, self.precision, self.sync_batch_norm)


class _Synced(Accelerator):
    """Its processes normalise by the statistics of the whole batch (`nas.train.several.batch_norm`)."""


def syncs_batch_norm(accelerator: Accelerator) -> bool:
    """Whether batch norms in training take statistics over all processes; never where there is one."""
    return isinstance(accelerator, _Synced) and accelerator.num_processes > 1


def make_accelerator(accelerator: str = "auto", precision: str = "no", sync_batch_norm: bool = False) -> Accelerator:
    """The Accelerate object for `accelerator` (`auto` takes a CUDA device where one is usable) and mixed `precision`.

    `sync_batch_norm`: of several processes, started by `torchrun` or `accelerate launch`, batch norms take the
    statistics of the whole batch; otherwise of each one's part, which is the faster.

    Raises `ValueError` for a device or precision that cannot be used here.
    """
    if accelerator not in ACCELERATORS:
        raise ValueError(f"unknown accelerator {accelerator!r}; one of {', '.join(ACCELERATORS)}")
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; one of {', '.join(PRECISIONS)}")
    usable = torch.cuda.is_available()
    if accelerator == "cuda" and not usable:
        raise ValueError("accelerator=cuda, but torch sees no usable CUDA device; use accelerator=cpu or auto")
    cpu = accelerator == "cpu" or not usable
    if cpu and precision == "fp16":
        raise ValueError("precision fp16 needs a CUDA device; on the CPU use precision no or bf16")
    state = AcceleratorState._shared_state  # of the process: Accelerate refuses a second precision
    if state and state.get("_mixed_precision", precision) != precision:
        raise ValueError(
            f"this process already computes with precision={state['_mixed_precision']}; start another one for "
            f"precision={precision}"
        )
    kind = _Synced if sync_batch_norm else Accelerator
    made = kind(cpu=cpu, mixed_precision=precision)
    if (made.device.type == "cpu") != cpu:
        raise ValueError(f"this process already runs on {made.device}; start another one for accelerator={accelerator}")
    if made.num_processes > 1:
        _leave_at_exit()
    return made


@functools.cache
def _leave_at_exit() -> None:
    """A process that ends with its connections open may be aborted by torch's own threads."""
    atexit.register(lambda: dist.destroy_process_group() if dist.is_initialized() else None)


def several(accelerator: Accelerator) -> dict[str, int | bool]:
    """What the identity of a shared training says of its processes; of one process alone nothing."""
    found: dict[str, int | bool] = {}
    if accelerator.num_processes > 1:
        found["processes"] = accelerator.num_processes
    if syncs_batch_norm(accelerator):
        found["sync_batch_norm"] = True
    return found


def check_shared(accelerator: Accelerator, batch_size: int, images: int, accumulate: int = 1) -> None:
    """Raise `ValueError` where batches of so many of the `images` have no equal parts for all processes.

    Each process takes its part in `accumulate` pieces. A smaller one would count as much as the others.
    """
    processes = accelerator.num_processes
    by = f"{processes} process{'es' if processes > 1 else ''}"
    by += f" and accumulate={accumulate}" if accumulate > 1 else ""
    if batch_size % (processes * accumulate):
        raise ValueError(f"batch_size {batch_size} cannot be shared by {by}; give a multiple")
    if batch_size > images and images % (processes * accumulate):
        raise ValueError(f"the only batch, all {images} images, cannot be shared by {by}; give a smaller batch_size")


def place_of(accelerator: Accelerator) -> Place:
    """Where this process of `accelerator` wants its batches."""
    return Place(accelerator.device, accelerator.process_index, accelerator.num_processes)


def begin(accelerator: Accelerator) -> None:
    """Before a search or a training prepares what is its own: forget that of an earlier one.

    The loss scale of fp16 begins anew, so that no result depends on what the process did before.
    """
    accelerator.free_memory()
    if accelerator.scaler is not None:
        accelerator.scaler.load_state_dict(torch.amp.GradScaler(accelerator.device.type).state_dict())


def share_buffers(network: nn.Module, accelerator: Accelerator) -> None:
    """Give all processes one set of batch-norm statistics, the mean of theirs: each has seen images of its own."""
    share(network.buffers(), accelerator)


@torch.no_grad()
def share(tensors: Iterable[Tensor], accelerator: Accelerator) -> None:
    """Put the mean of all processes' `tensors` into each; whole numbers stay as they are."""
    if accelerator.num_processes > 1:
        for tensor in tensors:
            if tensor.is_floating_point():
                tensor.copy_(accelerator.reduce(tensor, reduction="mean"))


def agreed(accelerator: Accelerator, number: int) -> int:
    """The largest `number` of all processes: what one of them was told, all of them do."""
    if accelerator.num_processes == 1:
        return number
    found = torch.tensor([number], device=accelerator.device)
    return int(accelerator.gather(found).max())


def agreement(accelerator: Accelerator) -> Callable[[int], int] | None:
    """`agreed` between the processes of `accelerator`; None where there is one."""
    return None if accelerator.num_processes == 1 else functools.partial(agreed, accelerator)


def gathered(accelerator: Accelerator, own: T) -> list[T]:
    """What each process has of its `own`, by rank."""
    return [own] if accelerator.num_processes == 1 else gather_object([own])
