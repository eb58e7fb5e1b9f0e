"""A run that reports are written of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.derive.handover import write_archs, write_probabilities
from nas.latency.device import Device
from nas.latency.tables.proof import Proof
from nas.latency.tables.table import LatencyTable, Row, entries
from nas.runs.run import Run
from search_spaces.families.fbnet import fbnet


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the FBNet space, all but trained."""
    space = fbnet(resolution=32, num_classes=10, in_channels=3, width=0.25, head_channels=64)
    rng = np.random.default_rng(0)
    genotype = tuple(0 for _ in space.positions)
    probabilities = tuple(rng.dirichlet(np.ones(len(position.candidates))) for position in space.positions)
    rows = tuple(Row(layer, shape, 0.01, 0.0, 10, 0.0125) for layer, shape in entries(space))
    measured = rng.uniform(1, 2, 20)
    estimates = measured * rng.uniform(0.95, 1.05, 20)
    networks = tuple(
        {
            "arch": "a",
            "role": "fit" if i < 8 else "held_out",
            "measured_ms": m,
            "spread_ms": 0.0,
            "raw_ms": e,
            "estimate_ms": e,
        }
        for i, (e, m) in enumerate(zip(estimates.tolist(), measured.tolist(), strict=True))
    )
    proof = Proof.of(estimates, estimates, (measured, measured), measured, 8)
    path = tmp_path_factory.mktemp("runs") / "r"
    config = {"space": {"width": 0.25}, "note": "<script>alert(1)</script>"}
    with Run.open(str(path), None, "fbnet-dnas", config) as opened:
        for epoch in range(5):
            opened.log("search", epoch, weight_loss=2.0 / (epoch + 1), expected_latency_ms=1.5, theta_entropy=2.0)
        opened.log("search", 5, weight_loss=float("nan"))
        write_probabilities(path, space, probabilities)
        write_archs(path, space, (genotype,))
        LatencyTable("fbnet", Device(), rows, 0.0, proof, {}, networks).save(path / "table.json")
        arch = space.decode(genotype)
        record = {"space": "fbnet", "method": "dnas", "data": "digits", "seed": 0, "device": Device().key}
        record |= {"asked_latency_ms": 1.5, "estimated_latency_ms": 1.4, "measured_latency_ms": 1.6}
        record |= {"limit_latency_ms": 1.45, "reachable_latency_ms": [0.5, 3.0], "genotype": list(genotype)}
        record |= {"params": arch.params, "macs": arch.macs, "top1_percent": None, "weights": None}
        opened.write_json("result.json", {**record, "search_seconds": 75.0, "train_seconds": None})
    return path
