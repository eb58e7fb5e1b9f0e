"""Eight-bit TensorFlow Lite files, as Google's quantiser makes them of those of floats (see `tflite`)."""

from __future__ import annotations

import contextlib
import io
import warnings

from nas.latency.graphs.tflite_writer import SIGNATURE


def quantized(model: bytes, shape: tuple[int, ...]) -> bytes:
    """The file `model`, whose input has `shape`, with int8 weights (per channel) and activations.

    It takes and gives floats, like the int8 graphs of other runtimes. Operators that the quantiser has no 8-bit form of
    stay in floats, between conversions.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe

    from nas.latency.measuring.quantize import calibration  # here: it imports onnx

    maker = quantizer.Quantizer(bytearray(model), recipe.static_wi8_ai8())
    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        maker.update_quantization_recipe(".*", end, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE)
    data = {SIGNATURE: [{"input": batch} for batch in calibration(shape)]}
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # bars of progress of its own
        warnings.simplefilter("ignore")
        ranges = maker.calibrate(data, num_threads=1)
        return bytes(maker.quantize(ranges, enable_progress_report=False).quantized_model)
