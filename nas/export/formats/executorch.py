"""ExecuTorch's `.pte`, lowered to XNNPACK, for one batch size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.export.formats.base import Format, Run

if TYPE_CHECKING:
    from torch import nn


def write(network: nn.Module, input_shape: tuple[int, int, int], batch_size: int, path: Path) -> None:
    """Write `network` to `path` for batches of exactly `batch_size` images."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(network, (torch.zeros(batch_size, *input_shape),))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    path.write_bytes(lowered.to_executorch().buffer)


def load(path: Path, threads: int = 1) -> Run:
    """`path` under ExecuTorch's runtime, whose Python interface has no say in the number of `threads`."""
    import torch
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(str(path))
    method = program.load_method("forward")

    def run(images: np.ndarray) -> np.ndarray:
        return method.execute([torch.from_numpy(images)])[0].numpy()

    run.program = program  # type: ignore[attr-defined]  # the method does not keep its program alive
    return run


FORMAT = Format("executorch", ".pte", "executorch", "pip install executorch", write, load, sets_threads=False)
