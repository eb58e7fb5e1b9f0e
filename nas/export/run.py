"""One export: the network of an arch or model folder as a file, with its report beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.data.card import DataSource
from nas.export.comparing import LARGEST_DROP, Comparison
from nas.export.eight_bits import RANGES, Calibration, check_floats, eight_bits
from nas.export.exporting import check_dtype, default_output, export, report_of, summary, timed_for
from nas.export.formats import format_named, onnx
from nas.export.formats.base import Format
from nas.export.settings import EIGHT_BITS, OTHER_WEIGHTS, RANDOM, check_calibrated
from nas.latency import devices
from nas.latency.devices import TargetDevice
from nas.networks import model_folder
from nas.networks.creation import Source, create_model, resolve
from nas.networks.location import check_has_weights
from nas.networks.network import FlatNetwork, Network
from nas.networks.trained_data import as_trained, unsaid
from nas.runs.files import write_json
from nas.terminal.progress import log


@dataclass(frozen=True)
class ExportSetup:
    """An export of the network `name` to `output` (None: beside it) as a file of `format`.

    `checkpoint`: a file of weights, `random`, or None for the model folder's own. `data` (None: none): whose test
    images are compared too; `device` (None: not at all): how the file is timed. `batch_size`: of formats that fix it.
    `tolerance`: the largest difference to torch, as a share of the largest logit.

    `in_eight_bits`: with ranges from `calibration_images` training images, by `calibration` (see
    `nas.export.eight_bits`); a file that loses more than `largest_drop` percentage points is not kept.
    """

    name: str
    source: Source
    checkpoint: str | None
    format: Format
    output: str | None
    data: DataSource | None
    device: TargetDevice | None
    batch_size: int
    tolerance: float
    seed: int
    in_eight_bits: bool = False
    calibration_images: int = 512
    calibration: str = RANGES[0]
    largest_drop: float = LARGEST_DROP

    def __post_init__(self) -> None:
        if self.in_eight_bits:
            check_floats(self.format)
            check_calibrated(self.data)
        written = replace(self.format, dtype=EIGHT_BITS) if self.in_eight_bits else self.format
        timed_for(self.device, written, self.batch_size)  # before anything is loaded

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ExportSetup:
        """The export that a resolved configuration (`conf/export.yaml`) describes."""
        chosen, name, checkpoint = format_named(config["format"]), config["arch"], config["checkpoint"]
        if (opset := config["opset"]) is not None:
            if chosen.name != "onnx":
                raise ValueError(f"opset={opset} is for format=onnx, not for {chosen.name}; leave it out")
            chosen = onnx.of_opset(opset)
        chosen.check()
        device = devices.given(config["device"])
        in_eight_bits = device.key.dtype == EIGHT_BITS
        if not in_eight_bits:
            check_dtype(device, chosen)  # though it is not measured: it names what is written
        source = resolve(name)
        if source.folder is None:
            check_has_weights(name, checkpoint, OTHER_WEIGHTS)
        return cls(
            name=name,
            source=source,
            checkpoint=checkpoint,
            format=chosen,
            output=config["output"],
            data=DataSource(config["data"]) if config.get("data") is not None else None,
            device=device if config["measure"] else None,
            in_eight_bits=in_eight_bits,
            calibration_images=config["calibration_images"],
            calibration=config["calibration"],
            largest_drop=config["largest_drop"],
            batch_size=config["batch_size"],
            tolerance=config["tolerance"],
            seed=config["seed"],
        )

    @property
    def path(self) -> Path:
        """Where the file goes. Raises `ValueError` for a name that does not end as the format's files do."""
        path = Path(self.output) if self.output else default_output(self.name, self.format.suffix, self._kind)
        self.format.check_output(path)
        return path

    @property
    def _kind(self) -> str:
        """How the names of files end that stand beside the network's own in floats and for single images."""
        eight = f"-{EIGHT_BITS}" if self.in_eight_bits else ""
        return eight if self.format.dynamic_batch or self.batch_size == 1 else f"{eight}-b{self.batch_size}"

    @property
    def folder(self) -> Path | None:
        """The model folder whose weights they are; None where they are of none."""
        if self.checkpoint is None:
            return self.source.folder
        return None if self.checkpoint == RANDOM else model_folder.folder_in(self.checkpoint)


def run_export(setup: ExportSetup) -> dict[str, Any]:
    """Export, check, time and write the report beside the file; returns it (see `nas.export.exporting.export`)."""
    if setup.checkpoint == RANDOM:
        log("random weights: size and latency are those of the network, its answers are not")
        network = create_model(setup.name, pretrained=False)
    else:
        network = create_model(setup.name, checkpoint_path=setup.checkpoint)
    assert isinstance(network, Network | FlatNetwork)
    data = setup.data.load(network.arch.resolution) if setup.data is not None else None
    if data is not None:
        data = as_trained(data, setup.folder)
        weights = None if setup.checkpoint == RANDOM else setup.checkpoint
        if note := unsaid(setup.name, weights, data, network.batch_norm_eps):
            log(note)
    path = setup.path
    log(f"exporting {setup.name} (arch {network.arch.id}) to {path}")
    images = model_folder.images_of(setup.folder) if setup.folder is not None else None
    chosen, before = setup.format, " in place of the one that was there" if path.exists() else ""
    if setup.in_eight_bits and data is not None:
        chosen = eight_bits(chosen, Calibration(data, setup.calibration_images, setup.calibration, setup.seed))
    report = export(
        network,
        path,
        chosen if images is None else chosen.saying(images),
        comparison=Comparison(data, setup.tolerance, setup.seed, setup.largest_drop),
        batch_size=setup.batch_size,
        device=setup.device,
    )
    if images is not None:
        report["images"] = images
    write_json(report_of(path), report)
    for line in summary(report):
        log(line)
    log(f"written: {path}{before}, and this report as {path}.json")
    return report
