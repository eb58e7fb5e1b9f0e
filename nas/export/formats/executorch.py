"""ExecuTorch's `.pte`, lowered to XNNPACK, for one batch size."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.export.formats.base import Format, Run
from nas.latency.graphs.executorch_program import IDLE
from nas.latency.placement import Placement

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


def placement(path: Path) -> Placement:
    """Which operators of `path` are left to the portable kernels; a part that XNNPACK took counts as one operator."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    found = deserialize_pte_binary(path.read_bytes())
    plan = getattr(found, "program", found).execution_plan[0]
    steps = [step.instr_args for chain in plan.chains for step in chain.instructions]
    kinds = [type(step).__name__ for step in steps]
    calls = [step for step, kind in zip(steps, kinds, strict=True) if kind == "KernelCall"]
    names = Counter(plan.operators[call.op_index].name.split("::")[-1].split(".")[0] for call in calls)
    left = {f"{name} outside XNNPACK": count for name, count in names.items() if name not in IDLE}
    return Placement(1, sum(left.values()) + kinds.count("DelegateCall"), left)


FORMAT = Format(
    "executorch", ".pte", "executorch", "pip install executorch", write, load, sets_threads=False, placement=placement
)
