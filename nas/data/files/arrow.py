"""Images in Arrow files, as `save_to_disk` of Hugging Face's `datasets` writes them: where the bytes of each are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nas.data.files.listing import HELD_OUT, Labelled, Listing
from nas.data.files.remembered import remembered, state_of
from nas.data.files.stored import Part
from nas.data.images import stratified
from nas.runs.files import read_json
from nas.runs.stored import Schema, record

SPLITS, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
STATE_SCHEMA: Schema = {"_data_files": list[dict], "_indices_data_files": list[dict] | None}
FEATURE: Schema = {"_type": str}
CLASSES: Schema = {"_type": Literal["ClassLabel"], "names": list[str]}
INSTALL = "data=huggingface needs the package pyarrow: pip install 'nas-under-budget[huggingface]'"
Rows = list[tuple[int, int, int]]  # offset and size of an image, its label


@dataclass(frozen=True)
class Columns:
    """The columns of image and label by their names, and the names of the classes in the order of their labels."""

    image: str
    label: str
    names: tuple[str, ...]


def arrow_listing(root: Path, asked: tuple[str | None, str | None], test_fraction: float, split_seed: int) -> Listing:
    """The images of the data set in the folder `root`: its splits train and test (or validation), or one data set.

    One data set is divided as a folder of classes is, `test_fraction` of each class by `split_seed`. `asked`: the
    columns of image and label (None: the only one of that kind). Raises `ValueError` for what `save_to_disk` did not
    write, for columns that are not there, and for rows without image or class.
    """
    if not root.is_dir():
        raise ValueError(
            f"data.root={root} is not a directory; give one that save_to_disk of Hugging Face's datasets wrote"
        )
    if (root / STATE).is_file():
        known, files = _split(root, asked)
        labels = np.array([label for _, label in files])
        first, second = stratified(labels, 1 - test_fraction, split_seed, known.names)
        return Listing([files[i] for i in first], [files[i] for i in second], known.names, ())
    if not (root / SPLITS).is_file():
        raise ValueError(
            f"{root} has neither {SPLITS} nor {STATE}: it is no folder that datasets' save_to_disk wrote; parquet "
            "files become one by datasets.load_dataset(...).save_to_disk(folder)"
        )
    found = record(read_json(root / SPLITS, "list of splits"), {"splits": list[str]}, str(root / SPLITS))["splits"]
    test = next((name for name in HELD_OUT if name in found), None)
    if "train" not in found or test is None:
        lacking = "train" if "train" not in found else " or ".join(HELD_OUT)
        raise ValueError(f"{root} has the splits {', '.join(found)}, and none called {lacking}; save it with one")
    known, train = _split(root / "train", asked)
    others, held_out = _split(root / test, asked)
    if others != known:
        raise ValueError(f"{root}: the splits train and {test} differ in their columns or classes; save them alike")
    left = [name for name in found if name not in ("train", test)]
    notes = [f"the test split is {test}"] + ([f"splits that are not used: {', '.join(left)}"] if left else [])
    return Listing(train, held_out, known.names, tuple(notes))


def _split(folder: Path, asked: tuple[str | None, str | None]) -> tuple[Columns, Labelled]:
    """The columns of the data set in `folder`, and its images."""
    known = _columns(folder, asked)
    state = record(read_json(folder / STATE, "state of a data set"), STATE_SCHEMA, str(folder / STATE))
    if state["_indices_data_files"]:
        raise ValueError(f"{folder} holds a selection of another one; save it by flatten_indices().save_to_disk(...)")
    files: Labelled = []
    for one in state["_data_files"]:
        name = one.get("filename")
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(f"{folder / STATE} names the file {str(name)[:80]!r}, which is not in its folder")
        rows = _rows(folder / name, known)
        parts = [Part(str(folder / name), offset, size, f"row {i}") for i, (offset, size, _) in enumerate(rows)]
        files += zip(parts, (label for *_, label in rows), strict=True)
    if not files:
        raise ValueError(f"{folder} holds no image")
    return known, files


def _columns(folder: Path, asked: tuple[str | None, str | None]) -> Columns:
    where = str(folder / INFO)
    features = record(read_json(where, "description of a data set"), {"features": dict}, where)["features"]
    kinds = {name: record(value, FEATURE, f"{where}: {name}")["_type"] for name, value in features.items()
             if isinstance(value, dict) and "_type" in value}  # fmt: skip
    chosen = []
    for key, kind, name in zip(("image_column", "label_column"), ("Image", "ClassLabel"), asked, strict=True):
        fitting = [column for column, found in kinds.items() if found == kind]
        if (name is None and len(fitting) != 1) or (name is not None and name not in fitting):
            given = "" if name is None else f"; data.{key}={name} is none"
            raise ValueError(
                f"{where} has {len(fitting) or 'no'} columns of kind {kind}"
                f"{': ' + ', '.join(fitting) if fitting else ' (' + ', '.join(features) + ')'}{given}; "
                f"{f'give data.{key}=' if fitting else 'cast it by datasets.Dataset.cast_column, and save it again'}"
            )
        chosen.append(name or fitting[0])
    image, label = chosen
    names = tuple(record(features[label], CLASSES, f"{where}: {label}")["names"])
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"{where}: {label} needs 2 or more classes of different names, got {', '.join(names[:5])}")
    return Columns(image, label, names)


def _rows(path: Path, known: Columns) -> Rows:
    """The images of one Arrow file, which is looked at once and remembered."""
    rules = f"1 {known.image} {known.label} {len(known.names)}"
    found = remembered("arrow", state_of([str(path)], rules), lambda: {"images": list(_read(path, known))})["images"]
    return [(int(offset), int(size), int(label)) for offset, size, label in found]


def _read(path: Path, known: Columns) -> Iterator[tuple[int, int, int]]:
    try:
        import pyarrow
    except ImportError:
        raise ValueError(INSTALL) from None
    try:
        with pyarrow.memory_map(str(path)) as mapped:
            whole = mapped.read_buffer()
            with pyarrow.ipc.open_stream(whole) as stream:
                first = 0
                for batch in stream:
                    images = _images(batch.column(known.image), whole, first)
                    yield from zip(*images, _labels(batch.column(known.label), len(known.names), first), strict=True)
                    first += batch.num_rows
    except (pyarrow.ArrowException, KeyError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}; save the data set again") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _images(column: Any, whole: Any, first: int) -> tuple[Sequence[int], Sequence[int]]:
    """Offsets in the file and sizes of the images of a batch, whose first row has the number `first`."""
    column.validate(full=True)  # offsets that leave the file are refused
    content = column.field("bytes")
    if column.null_count or content.null_count:
        absent = (part.is_null().to_numpy(zero_copy_only=False) for part in (column, content))
        row = first + int(np.logical_or(*absent).argmax())
        raise ValueError(
            f"row {row} has no image in it; save the data set again, which puts the files of images inside"
        )
    _, places, data = content.buffers()
    kind = np.int64 if str(content.type) == "large_binary" else np.int32
    ends = np.frombuffer(places, dtype=kind)[content.offset : content.offset + len(content) + 1].astype(np.int64)
    start = data.address - whole.address
    if not 0 <= start <= whole.size - data.size:
        raise ValueError("it is compressed; images are read from their places, so save it uncompressed")
    return (ends[:-1] + start).tolist(), np.diff(ends).tolist()


def _labels(column: Any, classes: int, first: int) -> list[int]:
    labels = column.to_pylist()
    wrong = next((i for i, label in enumerate(labels) if label is None or not 0 <= label < classes), None)
    if wrong is not None:
        raise ValueError(
            f"row {first + wrong} has the label {labels[wrong]}, not one of 0 to {classes - 1}; filter it out"
        )
    return labels
