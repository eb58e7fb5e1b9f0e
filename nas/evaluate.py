"""`python -m nas.evaluate arch=A checkpoint=C data=D`: accuracy on held-out images and measured latency."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from nas import model_folder, training
from nas.cli import entry, instantiate, plain, typed
from nas.data import ImageData
from nas.data.card import data_of
from nas.engine import make_accelerator
from nas.identity import plain as plain_json
from nas.latency.device import Device
from nas.latency.measure import Measurement, measure_arch_ms
from nas.models import create_model, resolve
from nas.network import FlatNetwork, Network
from nas.progress import log, table
from nas.runs import Run
from nas.train import short_name


@entry("evaluate")
def main(cfg: DictConfig) -> None:
    name, checkpoint = typed(cfg, "arch", str), typed(cfg, "checkpoint", str | None)
    batch_size, seed = typed(cfg, "batch_size", int, 1), typed(cfg, "seed", int)
    is_measured = typed(cfg, "measure", bool)
    config = plain(cfg)
    accelerator = make_accelerator(config["accelerator"], config["precision"])
    device: Device = instantiate(cfg.device)
    device.check_local()
    source = resolve(name)
    if checkpoint is None and source.folder is None:
        raise ValueError(f"no weights for {name}: give checkpoint=<file>, or a model folder as arch=")
    network = create_model(name, checkpoint_path=checkpoint)
    assert isinstance(network, Network | FlatNetwork)
    data = data_of(config["data"], network.arch.resolution)
    check_data(data, network)
    trained_in = source.folder if checkpoint is None else model_folder.folder_in(checkpoint)
    if trained_in is not None:
        data = as_trained(data, model_folder.read(trained_in).pretrained_cfg, trained_in)
    with Run.open(config["run_dir"], None, f"evaluate-{short_name(name)}", config) as run:
        arch = network.arch
        log(f"{name}: arch {arch.id}, on the {len(data.test):,} test images of {data.name}")
        figures = training.evaluate(network, data.test, batch_size=batch_size, accelerator=accelerator)
        found = measure_arch_ms(network.cpu(), device, seed=seed) if is_measured else None
        record: dict[str, Any] = {
            "arch": name,
            "arch_id": arch.id,
            "checkpoint": checkpoint,
            "data": data.name,
            "test_images": len(data.test),
            "resolution": data.resolution,
            "preprocessing": {key: value for key, value in data.pretrained_cfg().items() if key != "label_names"},
            **figures,
            "params": arch.params,
            "macs": arch.macs,
            "activations": arch.activations,
            "device": device.key if found else None,
            "measured_latency_ms": found.median_ms if found else None,
            "latency_spread_ms": found.spread_ms if found else None,
        }
        run.write_json("metrics.json", record)
        show(run, device, figures, found, record)


def check_data(data: ImageData, network: Network | FlatNetwork) -> None:
    """Refuse images the network was not made for. Another resolution is allowed: it is a choice of evaluation."""
    arch = network.arch
    found, wanted = (data.num_classes, data.in_channels), (arch.num_classes, arch.in_channels)
    if found != wanted:
        raise ValueError(
            f"data {data.name} has {found[0]} classes and images of {found[1]} channels, the network was made for "
            f"{wanted[0]} classes and {wanted[1]} channels; give the data it was trained on"
        )


def as_trained(data: ImageData, cfg: Mapping[str, Any], folder: Path) -> ImageData:
    """`data` normalised as the network in `folder` was trained, whose images and classes `cfg` (timm's) describes.

    Refuses classes of other names or in another order. Size and crop are a choice of evaluation: a difference is said.
    """
    names, numbers = cfg.get("label_names"), tuple(str(i) for i in range(data.num_classes))
    if names is not None and numbers not in (tuple(names), data.class_names) and tuple(names) != data.class_names:
        row = next(row for row, pair in enumerate(zip(names, data.class_names, strict=True)) if pair[0] != pair[1])
        raise ValueError(
            f"output {row} of {folder} means {names[row]!r}, class {row} of data {data.name} is "
            f"{data.class_names[row]!r}; give data with the classes {', '.join(names[:10])} in this order"
        )
    here = data.pretrained_cfg()
    chosen = [key for key in ("input_size", "crop_mode", "crop_pct", "interpolation") if cfg.get(key) is not None]
    for key in chosen:
        if plain_json(cfg[key]) != here[key]:
            log(f"note: evaluated with {key} {here[key]} of the data, {folder} was made with {cfg[key]}")
    if cfg.get("mean") is None or cfg.get("std") is None:
        return data
    return data.normalised(torch.tensor(cfg["mean"]), torch.tensor(cfg["std"]))


def show(run: Run, device: Device, figures: dict[str, float], found: Measurement | None, record: dict) -> None:
    rows = [
        ("test accuracy", f"{figures['top1_percent']:.2f}% top-1, {figures['top5_percent']:.2f}% top-5"),
        ("loss", f"{figures['loss']:.4f}"),
    ]
    if found is not None:
        rows.append(("latency measured", f"{found.median_ms:.4g} ms +- {found.spread_ms:.2g} ({device.key})"))
    rows += [
        ("parameters", f"{record['params']:,}"),
        ("multiply-adds", f"{record['macs']:,}"),
        ("file", f"{run.path}/metrics.json"),
    ]
    table(f"result of {run.path}", ("", ""), rows)


if __name__ == "__main__":
    main()
