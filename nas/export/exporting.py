"""A network as a file for a runtime, checked against torch and timed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from nas.export.comparing import BY_DEFAULT, Comparison
from nas.export.formats import NAMES, format_named
from nas.export.formats.base import Format, Run
from nas.export.settings import EIGHT_BITS
from nas.latency.device import Device
from nas.latency.devices import TargetDevice, device_of
from nas.latency.measuring.measure import Repeats, measured_here
from nas.latency.measuring.network_time import FILE, NetworkTime
from nas.latency.measuring.networks import measure_file, measure_files
from nas.latency.measuring.timing import image, timed
from nas.latency.placement import Placement
from nas.networks.network import FlatNetwork, Network
from nas.networks.weights import digest_of
from nas.runs.files import leftovers, write_atomic
from nas.terminal.progress import log
from search_spaces.arch import Arch

FLOATS = "floats"  # the same network in floats, measured beside a file in eight bits


def export(
    network: Network | FlatNetwork,
    path: str | Path,
    format: str | Format = "onnx",
    *,
    comparison: Comparison = BY_DEFAULT,
    batch_size: int = 1,
    device: Device | TargetDevice | None = None,
) -> dict[str, Any]:
    """Write `network` (with its `arch`) to `path`, check the file against torch, time it, and return the report.

    Logits are compared as `comparison` says, on random images in batches of 1, 2 and 5 (of `batch_size` where the
    format fixes it). `device` says how the file is timed (None: not at all; nor where it is another one than this
    machine). The file appears only when it has passed; the report of one that it replaces goes. `format`: a name, or a
    format of your own; of `nas.export.eight_bits`, one in eight bits, which is compared by accuracy.

    The report: `format, dtype, bytes, sha256` (of the file), `batch` (`dynamic` or the size), `random` and `real` (each
    `max_difference`, `largest_logit`, `images`; `real` also `same_top1_percent` and `top1_percent`), `latency` (median
    and spread, by how many `threads`; null where the format's runtime takes as many as it likes) or why it is
    `not_measured`, and what `fell_back` (null where the format has nothing to fall back to). Of eight bits also how it
    is `calibrated`, in `real` what `Comparison.in_eight_bits` says, and in `latency` the time of the same file in
    floats, `float_ms`.
    Raises `ValueError` for a format that is not installed, data of another shape, and a file that computes otherwise.
    """
    chosen, path = format_named(format) if isinstance(format, str) else format, Path(path)
    chosen.check()
    arch = network.arch
    comparison.check(network)
    key, not_measured = timed_for(device, chosen, batch_size)
    training = network.training
    network.eval()
    report: dict[str, Any] = {
        "format": chosen.name,
        "dtype": chosen.dtype,
        "arch_id": arch.id,
        "input": ["batch" if chosen.dynamic_batch else batch_size, *arch.input_shape],
        "batch": "dynamic" if chosen.dynamic_batch else batch_size,
    }

    def write(temporary: Path) -> None:
        second = chosen.second(temporary)
        try:
            written(temporary)
            report_of(path).unlink(missing_ok=True)  # first: whatever ends this here, no file has the report of another
            if second is not None:
                second.replace(chosen.second(path) or second)
        finally:
            if second is not None:
                second.unlink(missing_ok=True)

    def written(temporary: Path) -> None:
        chosen.write(network, arch.input_shape, batch_size, temporary)
        run = chosen.load(temporary, key.threads if key else 1)
        files = [temporary, chosen.second(temporary)]
        report["sha256"] = digest_of(temporary)
        report["bytes"] = sum(file.stat().st_size for file in files if file is not None)
        report["fell_back"] = chosen.placement and chosen.placement(temporary).to_dict()
        if chosen.floats is None:
            report["random"] = comparison.on_random(network, run, chosen, batch_size)
            report["real"] = comparison.on_real(network, run, chosen, batch_size)
        else:
            report["random"], report["calibrated"] = None, chosen.calibrated
            report["real"] = comparison.in_eight_bits(network, run)
        report["latency"] = key and _latency(temporary, chosen, run, network, batch_size, key)
        report["not_measured"] = not_measured

    try:
        for left in (*leftovers(path, chosen.beside), *leftovers(report_of(path))):
            left.unlink(missing_ok=True)
        write_atomic(path, write)
    finally:
        network.train(training)
    return report


def report_of(path: Path) -> Path:
    """Where the report of the exported file `path` is kept."""
    return path.with_name(path.name + ".json")


def timed_for(
    device: Device | TargetDevice | None, chosen: Format, batch_size: int
) -> tuple[Device | None, str | None]:
    """How a file of the format `chosen` is timed on this machine (None: not at all), and why it is not where that was
    asked.

    Raises `ValueError` for a device of this machine under which such a file is not timed.
    """
    if device is None:
        return None, None
    target = device_of(device)
    if (why := target.files_not_timed()) is not None:
        return None, why
    key = target.key
    check_dtype(target, chosen)
    if key.runtime != "onnxruntime":
        raise ValueError(
            f"a file of format {chosen.name} is timed by its own runtime, not under device.runtime={key.runtime}; "
            "leave that out (nas.evaluate times networks under it)"
        )
    if key.processor != "cpu" and chosen.name != "onnx" and chosen.name in NAMES:
        raise ValueError(
            f"a file of format {chosen.name} is timed on the CPU, not on device.processor={key.processor}; give "
            "device.processor=cpu"
        )
    if not chosen.dynamic_batch and key.batch_size not in (1, batch_size):
        raise ValueError(
            f"a file of format {chosen.name} takes batches of batch_size={batch_size} alone, and device.batch_size="
            f"{key.batch_size} asks for the time of another; give batch_size={key.batch_size}"
        )
    target.check()
    return key, None


def check_dtype(target: TargetDevice, chosen: Format) -> None:
    """Raise `ValueError` where `target` asks for another dtype than files of the format `chosen` hold; of a device that
    is not here, whose own tools may convert the file, only say so."""
    dtype = target.key.dtype
    if dtype == chosen.dtype:
        return
    if target.files_not_timed() is not None:
        log(f"the file is {chosen.dtype}, not the device's {dtype}: its own tools have to convert it")
        return
    others = f"; format=onnx is written in {EIGHT_BITS}, too" if EIGHT_BITS not in (dtype, chosen.dtype) else ""
    raise ValueError(
        f"the exported file is {chosen.dtype}, and device.dtype={dtype} asks for another; give device.dtype="
        f"{chosen.dtype}{others}"
    )


def _latency(
    path: Path, chosen: Format, run: Run, network: Network | FlatNetwork, batch_size: int, device: Device
) -> dict[str, Any]:
    """One call of the file: at calm speed and as it was now, and half the interquartile range, in milliseconds."""
    if chosen.dynamic_batch:
        batch_size = device.batch_size
    shape, beside = (batch_size, *network.arch.input_shape), {}
    if chosen.floats is not None:
        with tempfile.TemporaryDirectory() as folder:
            floats = Path(folder) / f"{FLOATS}{chosen.suffix}"
            chosen.floats.write(network, network.arch.input_shape, batch_size, floats)
            times = measure_files({FILE: path, FLOATS: floats}, shape, network.arch, device)
        found, beside = times[FILE], {"float_ms": times[FLOATS].latency_ms}
    elif chosen.name == "onnx":
        found = measure_file(path, shape, network.arch, device)
    elif chosen.name in NAMES:
        command = [sys.executable, "-m", "nas.export.timed_file", chosen.name]
        found = measure_file(path, shape, network.arch, device, command, chosen.name)
    else:
        found = _in_this_process(run, shape, device)
    runtime = device.runtime if chosen.name == "onnx" else chosen.name
    threads = device.threads if chosen.sets_threads else None
    processor = "" if device.processor == "cpu" else f"-{device.processor}"
    return {
        "median_ms": found.latency_ms,
        "now_ms": found.now_ms,
        "note": found.note,
        "spread_ms": found.spread_ms,
        "device": f"{device.name}-{runtime}{processor}-{chosen.dtype}-b{batch_size}"
        + (f"-t{threads}" if threads else ""),
        "threads": threads,
        **beside,
    }


def _in_this_process(run: Run, shape: tuple[int, ...], device: Device) -> NetworkTime:
    """The time of a file whose format is the program's own, and unknown to a new process: in this one."""
    images = image(shape)
    return measured_here({"file": [timed(lambda: run(images))]}, device, 0, Repeats())["file"].of_network()


def default_output(arch: str, suffix: str, kind: str = "") -> Path:
    """Where an exported file goes by default: beside the arch file, into the model folder, or into this directory.

    Of an arch that is given as text, it is called by the id. `kind`: what keeps it apart from others of the network.
    """
    if arch.lstrip().startswith("{"):
        return Path(f"{Arch.from_json(arch).id}{kind}{suffix}")
    path = Path(arch.removeprefix("local-dir:"))
    if path.is_dir():
        return path / f"model{kind}{suffix}"
    return path.with_name(f"{path.stem}{kind}{suffix}") if path.is_file() else Path(f"{arch}{kind}{suffix}")


def summary(report: dict[str, Any]) -> list[str]:
    """The report in words."""
    batch = "for any batch size" if report["batch"] == "dynamic" else f"for batches of {report['batch']}"
    lines = [f"{report['bytes'] / 1e6:.2f} MB, {batch}"]
    for key, what in (("random", "random images"), ("real", "test images")):
        part = report[key]
        if part is not None:
            line = f"compared with torch on {part['images']} {what}: largest difference {part['max_difference']:.2g}, "
            line += f"logits up to {part['largest_logit']:.3g}"
            if "drop_points" in part:
                line = _in_eight_bits(part, report["calibrated"])
            elif "top1_percent" in part:
                line += f"; top-1 {part['top1_percent']:.2f}%, the same class on {part['same_top1_percent']:.2f}%"
            lines.append(line)
    fell_back = Placement.from_dict(report["fell_back"]).sentence() if report.get("fell_back") else ""
    lines += [fell_back] if fell_back else []
    latency = report["latency"]
    if latency is not None:
        where = latency["device"] + ("" if latency["threads"] else ", in as many threads as its runtime takes")
        lines.append(f"latency measured: {latency['median_ms']:.4g} ms +- {latency['spread_ms']:.2g} ({where})")
        if "float_ms" in latency:
            lines[-1] += f"; in floats {latency['float_ms']:.4g} ms"
        if latency["note"]:
            lines[-1] += f"; {latency['note']}"
    elif report["not_measured"]:
        lines.append(f"latency not measured: {report['not_measured']}")
    return lines


def _in_eight_bits(part: dict[str, Any], calibrated: dict[str, Any]) -> str:
    images = f"{calibrated['images']} training image{'s' if calibrated['images'] > 1 else ''}"
    off_by = "" if part["drop_error"] is None else f" +- {part['drop_error']:.2g}"
    return (
        f"in eight bits, calibrated on {images}: top-1 {part['top1_percent']:.2f}% on "
        f"{part['images']:,} test images, {part['float_top1_percent']:.2f}% in floats: a loss of "
        f"{part['drop_points']:.2f}{off_by} points; the same class on {part['same_top1_percent']:.2f}%"
    )
