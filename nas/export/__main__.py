"""`python -m nas.export`: a network as a file for a runtime, checked against torch and timed."""

from __future__ import annotations

from pathlib import Path

from nas.export.formats import format_named
from nas.terminal.entry import DictConfig, check_types, entry, instantiate, plain
from nas.terminal.progress import log


@entry("export")
def main(cfg: DictConfig) -> None:
    check_types(
        cfg,
        {
            "arch": str,
            "checkpoint": str | None,
            "format": str,
            "output": str | None,
            "batch_size": (int, 1),
            "tolerance": (float, 0),
            "measure": bool,
            "seed": int,
        },
    )
    chosen = format_named(cfg.format)
    chosen.check()
    name, checkpoint = cfg.arch, cfg.checkpoint
    from nas.data.card import data_of
    from nas.export.exporting import default_output, export, summary
    from nas.networks import model_folder
    from nas.networks.creation import create_model, resolve
    from nas.networks.network import FlatNetwork, Network
    from nas.networks.trained_data import as_trained
    from nas.runs.files import write_json

    source = resolve(name)
    if checkpoint is None and source.folder is None:
        raise ValueError(
            f"no weights for {name}: give checkpoint=<file>, a model folder as arch=, or checkpoint=random to export "
            "untrained weights (for timing only)"
        )
    if checkpoint == "random":
        log("random weights: size and latency are those of the network, its answers are not")
        network = create_model(name, pretrained=False)
    else:
        network = create_model(name, checkpoint_path=checkpoint)
    assert isinstance(network, Network | FlatNetwork)
    data = data_of(plain(cfg.data), network.arch.resolution) if cfg.get("data") is not None else None
    folder = source.folder
    if checkpoint is not None:
        folder = None if checkpoint == "random" else model_folder.folder_in(checkpoint)
    data = as_trained(data, folder) if data is not None else None
    device = instantiate(cfg.device) if cfg.measure else None
    path = Path(cfg.output) if cfg.output else default_output(name, chosen.suffix)
    if path.suffix != chosen.suffix:
        raise ValueError(f"a file of format {chosen.name} ends in {chosen.suffix}, got output={path}")
    log(f"exporting {name} (arch {network.arch.id}) to {path}")
    report = export(
        network,
        path,
        chosen.name,
        data=data,
        batch_size=cfg.batch_size,
        tolerance=cfg.tolerance,
        device=device,
        seed=cfg.seed,
    )
    if folder is not None:
        report["images"] = model_folder.images_of(folder)
    write_json(path.with_name(path.name + ".json"), report)
    for line in summary(report):
        log(line)
    log(f"written: {path}, and this report as {path}.json")


if __name__ == "__main__":
    main()
