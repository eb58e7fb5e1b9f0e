"""The images of a data card as a trained network wants them: its model folder says how."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import torch
from timm.models import get_pretrained_cfg, is_model

from nas.data import ImageData
from nas.data.images import few
from nas.networks import model_folder
from nas.networks.model_folder import Saved
from nas.runs.files import write_json
from nas.runs.result_file import CLASSES
from nas.runs.stored import read_record
from nas.terminal.progress import log
from search_spaces import zoo
from search_spaces.plain_data import identity
from search_spaces.plain_data.identity import plain


def are_others(names: Sequence[str], data: ImageData) -> bool:
    """Whether outputs called `names` mean other classes than those of `data`.

    Mere numbers in their order mean any, unless the others are the same numbers in another order, as of folders 0 to 11
    that are sorted by name.
    """
    if tuple(names) == data.class_names:
        return False
    numbers = tuple(str(i) for i in range(data.num_classes))
    return numbers not in (tuple(names), data.class_names) or set(names) == set(data.class_names)


def keep_class_names(checkpoints: Path, data: ImageData) -> None:
    """Keep beside the `checkpoints` of a run what the classes of its `data` are called; what was kept stays, and is
    compared."""
    if not (path := checkpoints / CLASSES).exists():
        write_json(path, {"names": data.class_names, "digest": identity.digest(data.class_names)})
    elif note := renamed(checkpoints, data):
        log(note)


def renamed(checkpoints: Path, data: ImageData) -> str:
    """What to say where the classes of a run's `data` had other names when it began; empty where they are the same, and
    where that was not kept. Digests of the data see images and labels: a folder may have another name since."""
    names: list[str] = []
    with contextlib.suppress(ValueError):  # none, or damaged: nothing is known
        kept = read_record(checkpoints / CLASSES, "names of classes", {"names": list[str], "digest": str})
        names = kept["names"] if kept["digest"] == identity.digest(kept["names"]) else []
    pairs = list(zip(names, data.class_names, strict=False)) if len(names) == data.num_classes else []
    changed = [f"{was!r} is {now!r} now" for was, now in pairs if was != now]
    if not changed:
        return ""
    said = f"NOTE: classes of {data.name} are called otherwise than when the run began, and so are the model's outputs"
    return f"{said}: {few(changed)}"


def unsaid(name: str, checkpoint: str | None, data: ImageData, eps: float) -> str:
    """What to say of weights of the network `name` that come without a model folder: nothing tells how their images
    were normalised. `eps`: of the network's batch norms. Empty where the folder of `checkpoint` or `name` tells."""
    if checkpoint is None or model_folder.folder_in(checkpoint) is not None:
        return ""
    mean, std = _numbers(data.train.mean.tolist()), _numbers(data.train.std.tolist())
    said = f"NOTE: {checkpoint} does not say how its images were normalised: those of {data.name} are by their own "
    said += f"mean {mean} and deviation {std}"
    published = name.partition(".")[0]
    theirs = get_pretrained_cfg(name) if is_model(published) and not Path(name).exists() else None
    if theirs is None:
        return said
    own = model_folder.PRETRAINED_EPS.get(published, eps)
    norms = f", and batch norms an epsilon of {own:g} instead of {eps:g}" if own != eps else ""
    said += (
        f"; timm's own weights of {name} want mean {_numbers(theirs.mean)} and deviation {_numbers(theirs.std)}{norms}"
    )
    if published not in zoo.FAMILY_OF:
        return said
    return f"{said}: nas.create_model({name!r}, pretrained=True), kept as a model folder, has them"


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def check_kind(saved: Saved, folder: Path, data: ImageData) -> None:
    """Refuse bytes where the network `saved` in `folder` was trained on floats, or floats where on bytes."""
    kinds = [arrays == "float32" for arrays in (saved.arrays, data.preprocessing.arrays)]
    if saved.pretrained_cfg.get("label_names") is not None and kinds[0] != kinds[1]:  # it was written with its data
        was, now = ("floats in a unit of their own" if each else "bytes, of which 255 counts as 1" for each in kinds)
        raise ValueError(f"{folder} was trained on {was}; data {data.name} holds {now}: give arrays of the same kind")


def as_trained(data: ImageData, folder: Path | None) -> ImageData:
    """`data` normalised as the network in the model `folder` was trained; as it is where weights come without one.

    Refuses classes of other names or in another order, and bytes where it was trained on floats (or floats, where on
    bytes). Size and crop are a choice of evaluation: a difference is said.
    """
    if folder is None:
        return data
    saved = model_folder.read(folder)
    trained = saved.pretrained_cfg
    names = trained.get("label_names")
    if names is not None and are_others(names, data):
        row = next(row for row, pair in enumerate(zip(names, data.class_names, strict=True)) if pair[0] != pair[1])
        raise ValueError(
            f"output {row} of {folder} means {names[row]!r}, class {row} of data {data.name} is "
            f"{data.class_names[row]!r}; give data with the classes {', '.join(names[:10])} in this order"
        )
    check_kind(saved, folder, data)
    here = data.pretrained_cfg()
    chosen = [key for key in ("input_size", "crop_mode", "crop_pct", "interpolation") if trained.get(key) is not None]
    for key in chosen:
        if plain(trained[key]) != here[key]:
            log(f"NOTE: evaluated with {key} {here[key]} of the data, {folder} was made with {trained[key]}")
    if trained.get("mean") is None or trained.get("std") is None:
        return data
    return data.normalised(torch.tensor(trained["mean"]), torch.tensor(trained["std"]))
