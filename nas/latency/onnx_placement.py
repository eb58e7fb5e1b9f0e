"""Where ONNX Runtime ran the operators of a graph.

Part of the script that a kit carries (see `kit_script`): nothing but Python, numpy and onnxruntime is imported.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from nas.latency.measuring.timing import image
from nas.latency.placement import Placement

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# What computes nothing, or changes between formats of numbers.
IDLE = (
    "Reshape",
    "Identity",
    "Transpose",
    "Flatten",
    "ReorderInput",
    "ReorderOutput",
    "MemcpyToHost",
    "MemcpyFromHost",
)
CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")


def can_fall_back(dtype: str, processor: str) -> bool:
    """Whether there is anything that operators could run on, or in, instead."""
    return dtype != "fp32" or processor != "cpu"


def onnx_placement(graph: bytes, shape: tuple[int, ...], threads: int, processor: str, dtype: str) -> Placement:
    """Which operators of the model `graph` ran under another provider or in floats: from one profiled run."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(graph, options, providers=[PROVIDERS[processor]])
        session.run(None, {"input": image(shape)})
        events = json.loads(Path(session.end_profiling()).read_text())
    asked = PROVIDERS[processor]
    operators, elsewhere = 0, Counter[str]()
    for event in events:
        found = event.get("args", {})
        kind = found.get("op_name")
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time") or kind in IDLE:
            continue
        operators += kind not in CONVERSIONS
        if found.get("provider", asked) != asked:
            elsewhere[f"{kind} under {found['provider'].removesuffix('ExecutionProvider')}"] += 1
        elif dtype == "int8" and kind not in CONVERSIONS and _takes_floats(found):
            elsewhere[f"{kind} in fp32"] += 1
    return Placement(1, operators, dict(elsewhere))


def _takes_floats(event: dict[str, Any]) -> bool:
    kinds = [kind for entry in event.get("input_type_shape", [])[:1] for kind in entry]
    return kinds == ["float"]
