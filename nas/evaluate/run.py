"""The evaluation of one network: accuracy on held-out images, and its latency on a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas.data import ImageData
from nas.data.card import DataSource
from nas.derive.verdict import NOT_WANTED
from nas.evaluate.settings import OTHER_WEIGHTS
from nas.latency import devices
from nas.latency.devices import TargetDevice
from nas.networks import model_folder
from nas.networks.creation import Source, create_model, resolve
from nas.networks.location import check_has_weights
from nas.networks.network import FlatNetwork, Network
from nas.networks.trained_data import as_trained, unsaid
from nas.terminal.configuration import cards
from nas.terminal.notebook.outcome import as_html
from nas.terminal.progress import log, table
from nas.train import training
from nas.train.accelerator import Compute
from nas.train.answers.by_class import Answers, hardest
from nas.train.answers.guessing import accuracy_words, top5_words
from nas.train.setup import short_name
from nas.train.several.shared_run import shared_run
from search_spaces.memory.counted import Counted, amount
from search_spaces.resolution import Resolution, canonical


@dataclass(frozen=True)
class EvaluateSetup:
    """An evaluation of the network `name` with the weights in `checkpoint` (None: its model folder's) on `data`.

    `batch_size`: images per step. `device`: how its latency is measured, timings in an order of `seed`; `not_measured`:
    why it is not (None: it is). `stored`: the settings as plain data, which the run directory keeps. `resolutions`: at
    which it is evaluated too.
    """

    name: str
    source: Source
    checkpoint: str | None
    data: DataSource
    batch_size: int
    device: TargetDevice
    not_measured: str | None
    compute: Compute
    seed: int
    run_dir: str | None
    stored: Mapping[str, Any]
    resolutions: tuple[Resolution, ...] = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> EvaluateSetup:
        """The evaluation that a resolved configuration (`conf/evaluate.yaml`) describes."""
        compute = Compute(config["accelerator"], config["precision"])
        device = devices.given(config["device"])
        not_measured = (None if config["measure"] else NOT_WANTED) or device.not_measured(None)
        if not_measured is None:
            device.check()
        name, checkpoint = config["arch"], config["checkpoint"]
        source = resolve(name)
        if source.folder is None:
            check_has_weights(name, checkpoint, OTHER_WEIGHTS)
        return cls(
            name=name,
            source=source,
            checkpoint=checkpoint,
            data=DataSource(config["data"]),
            batch_size=config["batch_size"],
            device=device,
            not_measured=not_measured,
            compute=compute,
            seed=config["seed"],
            run_dir=config["run_dir"],
            stored=cards.without_objects(config),
            resolutions=tuple(canonical(asked) for asked in config.get("resolutions") or ()),
        )


@dataclass(frozen=True)
class EvaluateOutcome:
    """The `run_dir` and the `result` in its `metrics.json`: accuracy, size, memory and, where it was measured, latency.

    Memory and weights are counted in the arithmetic of the device.
    """

    run_dir: Path
    result: Mapping[str, Any]

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        return as_html(f"result of {self.run_dir}", receipt(self.run_dir, self.result))


def run_evaluation(setup: EvaluateSetup) -> EvaluateOutcome:
    """Evaluate, write and show; of several processes the main one, and the others have the accuracy alone.

    Raises `ValueError` where network, weights and data do not fit.
    """
    network = create_model(setup.name, checkpoint_path=setup.checkpoint)
    assert isinstance(network, Network | FlatNetwork)
    checkpoint = setup.checkpoint
    folder = setup.source.folder if checkpoint is None else model_folder.folder_in(checkpoint)
    data = _images(setup.data.load(network.arch.resolution), network, folder)
    others = [_images(setup.data.at(resolution), network, folder) for resolution in setup.resolutions]
    arch, here, title = network.arch, setup.compute.here, f"evaluate-{short_name(setup.name)}"
    with shared_run(here, setup.run_dir, None, title, setup.stored) as (path, run):
        if note := unsaid(setup.name, checkpoint, data, network.batch_norm_eps):
            log(note)
        log(f"{setup.name}: arch {arch.id}, on the {len(data.test):,} test images of {data.name}")
        answers = Answers()
        with answers.of(network):
            figures = training.evaluate(network, data.test, batch_size=setup.batch_size, accelerator=here)
        answers = answers.of_all(len(data.test), setup.batch_size, here)
        at_others = [
            {"resolution": other.resolution}
            | training.evaluate(network, other.test, batch_size=setup.batch_size, accelerator=here)
            for other in others
        ]
        if run is None:
            return EvaluateOutcome(path, figures)
        by_class = answers.record(data.test.labels.cpu(), data.class_names)
        found = setup.device.measure([arch], None, setup.seed)[0] if setup.not_measured is None else None
        estimated, counted = setup.device.estimate_ms(arch), Counted.of_device(setup.device.key.dtype)
        record: dict[str, Any] = {
            "arch": setup.name,
            "arch_id": arch.id,
            "checkpoint": checkpoint,
            "data": data.name,
            "test_images": len(data.test),
            "num_classes": data.num_classes,
            "guessing_percent": data.guessing_percent,
            "resolution": data.resolution,
            "precision": setup.compute.precision,
            "preprocessing": {key: value for key, value in data.pretrained_cfg().items() if key != "label_names"},
            **figures,
            **by_class,
            "at_resolutions": at_others,
            "params": arch.params,
            "macs": arch.macs,
            "activations": arch.activations,
            "memory_kib": arch.memory_kib(counted),
            "weights_kib": arch.weights_kib(counted),
            "counted": asdict(counted),
            "device": str(setup.device.key) if found or estimated is not None else None,
            "estimated_latency_ms": estimated,
            "measured_latency_ms": found.latency_ms if found else None,
            "latency_spread_ms": found.spread_ms if found else None,
            "latency_now_ms": found.now_ms if found else None,
            "latency_slowdown": found.slowdown if found else None,
            "not_measured": setup.not_measured,
        }
        run.write_json("metrics.json", record)
        table(f"result of {run.path}", ("", ""), receipt(run.path, record))
        if found and found.note:
            log(found.note)
    return EvaluateOutcome(run.path, record)


def _images(data: ImageData, network: Network | FlatNetwork, folder: Path | None) -> ImageData:
    """`data` as `network`, whose weights are those of the model `folder`, wants them."""
    check_data(data, network)
    return as_trained(data, folder)


def check_data(data: ImageData, network: Network | FlatNetwork) -> None:
    """Refuse images the network was not made for. Another resolution is allowed: it is a choice of evaluation."""
    arch = network.arch
    found, wanted = (data.num_classes, data.in_channels), (arch.num_classes, arch.in_channels)
    if found != wanted:
        raise ValueError(
            f"data {data.name} has {found[0]} classes and images of {found[1]} channels, the network was made for "
            f"{wanted[0]} classes and {wanted[1]} channels; give the data it was trained on"
        )


def receipt(path: Path, record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The rows of what was found of a network, from `metrics.json` in `path`."""
    rows = [
        ("test accuracy", accuracy_words(record) + top5_words(record["top5_percent"], record["num_classes"])),
        ("loss", f"{record['loss']:.4f}"),
    ]
    if "class_percent" in record:
        rows.append(
            ("calibration error", f"{record['calibration_error_percent']:.2f}% ({record['calibration_bins']} bins)")
        )
        rows.append(("hardest classes", hardest(record)))
    for other in record["at_resolutions"]:
        figures = f"{other['top1_percent']:.2f}% top-1" + top5_words(other["top5_percent"], record["num_classes"])
        rows.append((f"at {other['resolution']} pixels", figures))
    if record["estimated_latency_ms"] is not None:
        rows.append(("latency estimated", f"{record['estimated_latency_ms']:.4g} ms ({record['device']})"))
    if record["measured_latency_ms"] is not None:
        measured, spread = record["measured_latency_ms"], record["latency_spread_ms"]
        rows.append(("latency measured", f"{measured:.4g} ms +- {spread:.2g} ({record['device']})"))
    elif record["not_measured"] != NOT_WANTED:
        rows.append(("latency measured", f"not measured: {record['not_measured']}"))
    rows += [
        ("parameters", f"{record['params']:,}"),
        ("multiply-adds", f"{record['macs']:,}"),
        ("peak memory", f"{amount(record['memory_kib'])} KiB of activations ({record['counted']['dtype']})"),
        ("weights", f"{amount(record['weights_kib'])} KiB ({record['counted']['dtype']})"),
        ("file", f"{path}/metrics.json"),
    ]
    return rows
