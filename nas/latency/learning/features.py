"""What a regression of latency sees of a network."""

from __future__ import annotations

import math

from nas.latency.tables.table import LatencyTable
from search_spaces.arch import Arch


def network_features(table: LatencyTable, arch: Arch) -> dict[str, float]:
    """What a regression sees of `arch`: isolated time in all and its share by layer kind, size and work."""
    raw = table.raw_ms(arch)
    cost = arch.cost
    layers = [(row, layer) for layer, shape in arch.walk() if (row := table.row(layer, shape))]
    features = {
        "raw_ms": raw,
        "log_raw": math.log(raw),
        "log_macs": math.log(cost.macs),
        "log_params": math.log(cost.params),
        "log_activations": math.log(cost.activations),
        "layers": float(len(layers)),
        "largest_share": max(row.ms for row, _ in layers) / raw,
    }
    for kind in sorted({row.layer.kind for row in table.rows_}):
        features[f"share_{kind}"] = sum(row.ms for row, layer in layers if row.layer.kind == kind) / raw
        features[f"count_{kind}"] = float(sum(row.layer.kind == kind for row, _ in layers))
    return features
