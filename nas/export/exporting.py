"""A network as a file for a runtime, checked against torch and timed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.data import ImageData
from nas.export.formats import NAMES, format_named
from nas.export.formats.base import Format, Run
from nas.latency.device import Device
from nas.latency.devices import TargetDevice, device_of
from nas.latency.measuring.measure import Repeats, measured_here
from nas.latency.measuring.network_time import NetworkTime
from nas.latency.measuring.networks import measure_file
from nas.latency.measuring.timing import image, timed
from nas.latency.placement import Placement
from nas.networks.network import FlatNetwork, Network
from nas.runs.files import write_atomic
from nas.runs.seeding import generator

TOLERANCE = 1e-4  # of the largest logit: fp32 runtimes sum in other orders, which costs some 1e-6
RANDOM_BATCHES = (1, 2, 5)
REAL_IMAGES = 256


@dataclass(frozen=True)
class Comparison:
    """How a file is compared with torch: the logits of both on random images, drawn from `seed`, and on up to 256 test
    images of `data` (None: none). The largest difference must not exceed `tolerance` times the largest logit.
    """

    data: ImageData | None = None
    tolerance: float = TOLERANCE
    seed: int = 0


def export(
    network: Network | FlatNetwork,
    path: str | Path,
    format: str | Format = "onnx",
    *,
    comparison: Comparison = Comparison(),
    batch_size: int = 1,
    device: Device | TargetDevice | None = None,
) -> dict[str, Any]:
    """Write `network` (with its `arch`) to `path`, check the file against torch, time it, and return the report.

    Logits are compared as `comparison` says, on random images in batches of 1, 2 and 5 (of `batch_size` where the
    format fixes it). `device` says how the file is timed (None: not at all; nor where it is another one than this
    machine). The file appears only when it has passed. `format`: a name, or a format of your own.

    The report: `format, bytes, batch` (`dynamic` or the size), `random` and `real` (each `max_difference`,
    `largest_logit`, `images`; `real` also `same_top1_percent` and `top1_percent`), `latency` (median and spread, by how
    many `threads`; null where the format's runtime takes as many as it likes) or why it is `not_measured`,
    and what `fell_back` (null where the format has nothing to fall back to).
    Raises `ValueError` for a format that is not installed, data of another shape, and a file that computes otherwise.
    """
    chosen, path = format_named(format) if isinstance(format, str) else format, Path(path)
    chosen.check()
    arch = network.arch
    if comparison.data is not None:
        _check_data(comparison.data, network)
    timed_for, not_measured = _timed_for(device)
    training = network.training
    network.eval()
    report: dict[str, Any] = {
        "format": chosen.name,
        "arch_id": arch.id,
        "input": ["batch" if chosen.dynamic_batch else batch_size, *arch.input_shape],
        "batch": "dynamic" if chosen.dynamic_batch else batch_size,
    }

    def write(temporary: Path) -> None:
        second = chosen.second(temporary)
        try:
            written(temporary)
            if second is not None:
                second.replace(chosen.second(path) or second)
        finally:
            if second is not None:
                second.unlink(missing_ok=True)

    def written(temporary: Path) -> None:
        chosen.write(network, arch.input_shape, batch_size, temporary)
        run = chosen.load(temporary, timed_for.threads if timed_for else 1)
        files = [temporary, chosen.second(temporary)]
        report["bytes"] = sum(file.stat().st_size for file in files if file is not None)
        report["fell_back"] = chosen.placement and chosen.placement(temporary).to_dict()
        report["random"] = _check_random(network, run, chosen, batch_size, comparison)
        report["real"] = _check_real(network, run, chosen, batch_size, comparison)
        report["latency"] = timed_for and _latency(temporary, chosen, run, network, batch_size, timed_for)
        report["not_measured"] = not_measured

    write_atomic(path, write)
    network.train(training)
    return report


def _timed_for(device: Device | TargetDevice | None) -> tuple[Device | None, str | None]:
    """How a file is timed on this machine (None: not at all), and why it is not where that was asked."""
    if device is None:
        return None, None
    target = device_of(device)
    if (why := target.files_not_timed()) is not None:
        return None, why
    key = target.key
    if key.dtype != "fp32" or key.runtime != "onnxruntime":
        raise ValueError(f"exported files are fp32 and timed by their own runtime; device {key} is not for them")
    target.check()
    return key, None


def _check_data(data: ImageData, network: Network | FlatNetwork) -> None:
    arch = network.arch
    found = (data.num_classes, data.in_channels, data.resolution)
    wanted = (arch.num_classes, arch.in_channels, arch.resolution)
    if found != wanted:
        raise ValueError(
            f"data {data.name} has {found[0]} classes and {found[1]}x{found[2]}px images, the network takes "
            f"{wanted[0]} classes and {wanted[1]}x{wanted[2]}px; give data the network was made for, or data=null"
        )


def _check_random(
    network: Network | FlatNetwork, run: Run, chosen: Format, batch_size: int, comparison: Comparison
) -> dict[str, Any]:
    sizes = RANDOM_BATCHES if chosen.dynamic_batch else (batch_size,)
    stream = generator(comparison.seed, "export", "parity")
    batches = [torch.randn(size, *network.arch.input_shape, generator=stream) for size in sizes]
    expected, found = _both(network, run, batches)
    return _compare(expected, found, comparison.tolerance, f"random images ({chosen.name})")


def _check_real(
    network: Network | FlatNetwork, run: Run, chosen: Format, batch_size: int, comparison: Comparison
) -> dict[str, Any] | None:
    data = comparison.data
    if data is None:
        return None
    size = 64 if chosen.dynamic_batch else batch_size
    count = max(min(REAL_IMAGES, len(data.test)) // size, 1) * size
    chosen_rows = torch.linspace(0, len(data.test) - 1, min(count, len(data.test))).long()
    batches, labels = [], []
    for images, targets in data.test.subset(chosen_rows).in_order(size):
        if chosen.dynamic_batch or len(images) == size:
            batches.append(images)
            labels.append(targets.numpy())
    if not batches:
        raise ValueError(f"data {data.name} has fewer test images than one batch of {size}")
    expected, found = _both(network, run, batches)
    result = _compare(expected, found, comparison.tolerance, f"images of {data.name} ({chosen.name})")
    result["same_top1_percent"] = float(100 * np.mean(expected.argmax(1) == found.argmax(1)))
    result["top1_percent"] = float(100 * np.mean(found.argmax(1) == np.concatenate(labels)))
    return result


def _both(network: Network | FlatNetwork, run: Run, batches: list[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Logits of torch and of the exported file."""
    with torch.inference_mode():
        expected = [network(batch).numpy() for batch in batches]
    return np.concatenate(expected), np.concatenate([run(batch.numpy()) for batch in batches])


def _compare(expected: np.ndarray, found: np.ndarray, tolerance: float, what: str) -> dict[str, Any]:
    if expected.shape != found.shape:
        raise ValueError(f"the exported file returns {found.shape} on {what}, torch {expected.shape}")
    largest, difference = float(np.abs(expected).max()), float(np.abs(expected - found).max())
    if not difference <= tolerance * largest:
        raise ValueError(
            f"the exported file differs from torch on {what}: {difference:.3g} with a largest logit of {largest:.3g}, "
            f"allowed {tolerance:g} of it; the file was not kept"
        )
    return {"max_difference": difference, "largest_logit": largest, "images": len(expected)}


def _latency(
    path: Path, chosen: Format, run: Run, network: Network | FlatNetwork, batch_size: int, device: Device
) -> dict[str, Any]:
    """One call of the file: at calm speed and as it was now, and half the interquartile range, in milliseconds."""
    if chosen.dynamic_batch:
        batch_size = device.batch_size
    shape = (batch_size, *network.arch.input_shape)
    if chosen.name == "onnx":
        found = measure_file(path, shape, network.arch, device)
    elif chosen.name in NAMES:
        command = [sys.executable, "-m", "nas.export.timed_file", chosen.name]
        found = measure_file(path, shape, network.arch, device, command, chosen.name)
    else:
        found = _in_this_process(run, shape, device)
    runtime = device.runtime if chosen.name == "onnx" else chosen.name
    threads = device.threads if chosen.sets_threads else None
    return {
        "median_ms": found.latency_ms,
        "now_ms": found.now_ms,
        "note": found.note,
        "spread_ms": found.spread_ms,
        "device": f"{device.name}-{runtime}-fp32-b{batch_size}" + (f"-t{threads}" if threads else ""),
        "threads": threads,
    }


def _in_this_process(run: Run, shape: tuple[int, ...], device: Device) -> NetworkTime:
    """The time of a file whose format is the program's own, and unknown to a new process: in this one."""
    images = image(shape)
    return measured_here({"file": [timed(lambda: run(images))]}, device, 0, Repeats())["file"].of_network()


def default_output(arch: str, suffix: str) -> Path:
    """Where an exported file goes by default: beside the arch file, into the model folder, or into this directory."""
    path = Path(arch.removeprefix("local-dir:"))
    if path.is_dir():
        return path / f"model{suffix}"
    return path.with_suffix(suffix) if path.is_file() else Path(f"{arch}{suffix}")


def summary(report: dict[str, Any]) -> list[str]:
    """The report in words."""
    batch = "for any batch size" if report["batch"] == "dynamic" else f"for batches of {report['batch']}"
    lines = [f"{report['bytes'] / 1e6:.2f} MB, {batch}"]
    for key, what in (("random", "random images"), ("real", "test images")):
        part = report[key]
        if part is not None:
            line = f"compared with torch on {part['images']} {what}: largest difference {part['max_difference']:.2g}, "
            line += f"logits up to {part['largest_logit']:.3g}"
            if "top1_percent" in part:
                line += f"; top-1 {part['top1_percent']:.2f}%, the same class on {part['same_top1_percent']:.2f}%"
            lines.append(line)
    fell_back = Placement.from_dict(report["fell_back"]).sentence() if report.get("fell_back") else ""
    lines += [fell_back] if fell_back else []
    latency = report["latency"]
    if latency is not None:
        where = latency["device"] + ("" if latency["threads"] else ", in as many threads as its runtime takes")
        lines.append(f"latency measured: {latency['median_ms']:.4g} ms +- {latency['spread_ms']:.2g} ({where})")
        if latency["note"]:
            lines[-1] += f"; {latency['note']}"
    elif report["not_measured"]:
        lines.append(f"latency not measured: {report['not_measured']}")
    return lines
