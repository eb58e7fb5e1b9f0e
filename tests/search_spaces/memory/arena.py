"""Run a network in ONNX Runtime and print the bytes that its memory planner asks for: `python arena.py FILE LEVEL`.

A process of its own: the arena that tells is one for all sessions of a process. From the second run on the runtime
knows all lifetimes and asks for one block, in which it placed every activation (weights lie elsewhere).
"""

import os
import re
import sys
import tempfile

import numpy as np
import onnxruntime as ort

if __name__ == "__main__":
    path, level = sys.argv[1:]
    ort.set_default_logger_severity(1)
    log, stderr = tempfile.TemporaryFile(), os.dup(2)  # noqa: SIM115
    os.dup2(log.fileno(), 2)
    same_as_requested = {"max_mem": 0, "arena_extend_strategy": 1}
    unset = {"initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg({**same_as_requested, **unset}))
    options, shrinking = ort.SessionOptions(), ort.RunOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.add_session_config_entry("session.use_env_allocators", "1")
    shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    image = np.zeros(taken.shape, np.float32)
    for _ in range(2):
        os.write(2, b"RUN\n")
        session.run(None, {taken.name: image}, shrinking)
    os.dup2(stderr, 2)
    log.seek(0)
    (asked,) = re.findall(r"\(requested\) num_bytes: (\d+)", log.read().decode().split("RUN\n")[-1])
    print(asked)
