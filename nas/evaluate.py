"""`python -m nas.evaluate arch=A checkpoint=C data=D`: accuracy on held-out images and measured latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nas.latency.device import Device
from nas.latency.tables.origin import not_this_machine
from nas.runs.run import Run
from nas.terminal.entry import DictConfig, check_types, entry, instantiate, plain
from nas.terminal.progress import log, table

if TYPE_CHECKING:
    from nas.data import ImageData
    from nas.latency.measuring.measure import Measurement
    from nas.networks.network import FlatNetwork, Network


@entry("evaluate")
def main(cfg: DictConfig) -> None:
    check_types(
        cfg,
        {
            "arch": str,
            "checkpoint": str | None,
            "batch_size": (int, 1),
            "measure": bool,
            "seed": int,
            "run_dir": str | None,
            "accelerator": str,
            "precision": str,
        },
    )
    config = plain(cfg)
    name, checkpoint = config["arch"], config["checkpoint"]
    from nas.data.card import data_of
    from nas.derive.verdict import NOT_WANTED
    from nas.latency.measuring.measure import measure_arch_ms
    from nas.latency.runtimes import check_local
    from nas.networks import model_folder
    from nas.networks.creation import create_model, resolve
    from nas.networks.network import FlatNetwork, Network
    from nas.networks.trained_data import as_trained
    from nas.train import training
    from nas.train.accelerator import make_accelerator
    from nas.train.setup import short_name

    not_measured = None if config["measure"] else NOT_WANTED
    accelerator = make_accelerator(config["accelerator"], config["precision"])
    device: Device = instantiate(cfg.device)
    not_measured = not_measured or not_this_machine(device)
    if not_measured is None:
        check_local(device)
    source = resolve(name)
    if checkpoint is None and source.folder is None:
        raise ValueError(f"no weights for {name}: give checkpoint=<file>, or a model folder as arch=")
    network = create_model(name, checkpoint_path=checkpoint)
    assert isinstance(network, Network | FlatNetwork)
    data = data_of(config["data"], network.arch.resolution)
    check_data(data, network)
    data = as_trained(data, source.folder if checkpoint is None else model_folder.folder_in(checkpoint))
    with Run.open(config["run_dir"], None, f"evaluate-{short_name(name)}", config) as run:
        arch = network.arch
        log(f"{name}: arch {arch.id}, on the {len(data.test):,} test images of {data.name}")
        figures = training.evaluate(network, data.test, batch_size=config["batch_size"], accelerator=accelerator)
        found = measure_arch_ms(network.cpu(), device, seed=config["seed"]) if not_measured is None else None
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
            "not_measured": not_measured,
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


def show(run: Run, device: Device, figures: dict[str, float], found: Measurement | None, record: dict) -> None:
    from nas.derive.verdict import NOT_WANTED

    rows = [
        ("test accuracy", f"{figures['top1_percent']:.2f}% top-1, {figures['top5_percent']:.2f}% top-5"),
        ("loss", f"{figures['loss']:.4f}"),
    ]
    if found is not None:
        rows.append(("latency measured", f"{found.median_ms:.4g} ms +- {found.spread_ms:.2g} ({device.key})"))
    elif record["not_measured"] != NOT_WANTED:
        rows.append(("latency measured", f"not measured: {record['not_measured']}"))
    rows += [
        ("parameters", f"{record['params']:,}"),
        ("multiply-adds", f"{record['macs']:,}"),
        ("file", f"{run.path}/metrics.json"),
    ]
    table(f"result of {run.path}", ("", ""), rows)


if __name__ == "__main__":
    main()
