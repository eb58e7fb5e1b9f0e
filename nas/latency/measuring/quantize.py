"""Eight-bit ONNX graphs, so that a table can be of the arithmetic a phone or an edge box runs."""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx

CALIBRATION_BATCHES = 2


def calibration(shape: tuple[int, ...]) -> list[np.ndarray]:
    """The batches of noise from which ranges of activations are taken: they decide accuracy, not time."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(CALIBRATION_BATCHES)]


def quantize(model: onnx.ModelProto, shape: tuple[int, ...]) -> onnx.ModelProto:
    """`model` in eight bits as tables measure it: with ranges from noise (see `calibration` and `quantized`)."""
    return quantized(model, calibration(shape))


def quantized(model: onnx.ModelProto, batches: Iterable[np.ndarray], mean_of_extremes: bool = False) -> onnx.ModelProto:
    """`model` with int8 weights (per channel) and uint8 activations, as ONNX Runtime's static quantiser writes it.

    Ranges of activations are those that `batches` of images reach; `mean_of_extremes`: the mean of what each batch
    reaches, which a single outlier moves less. The graph takes and gives floats, so the conversion at both ends is part
    of an isolated block's time; calibration removes it for blocks in a network.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches: Iterator[np.ndarray] = iter(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"input": batch}

    with tempfile.TemporaryDirectory() as folder, _silent():
        paths = [Path(folder) / name for name in ("float.onnx", "folded.onnx", "int8.onnx")]
        onnx.save(model, str(paths[0]))
        quant_pre_process(str(paths[0]), str(paths[1]))
        onnx.save(_with_constants_of_their_own(onnx.load(str(paths[1]))), str(paths[1]))
        quantize_static(
            str(paths[1]),
            str(paths[2]),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"CalibMovingAverage": True} if mean_of_extremes else None,
        )
        return onnx.load(str(paths[2]))


def _with_constants_of_their_own(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with one constant for each that is read.

    The runtime's optimiser merges equal constants, such as the biases of fresh batch norms, which are 0. A bias is
    quantised by the scales of its convolution, so one that several share makes the runtime compute some in floats.
    """
    graph = copy.deepcopy(model)
    constants = {constant.name: constant for constant in graph.graph.initializer}
    read: set[str] = set()
    for node in graph.graph.node:
        for place, name in enumerate(node.input):
            if name in constants and name in read:
                own = copy.deepcopy(constants[name])
                own.name = node.input[place] = f"{name}_of_{node.output[0]}_{place}"
                graph.graph.initializer.append(own)
            read.add(name)
    return graph


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the quantiser's advice to itself: it logs to the root logger for every graph."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
