"""A data set that `datasets` saved gives what a folder of the same images gives; what is none is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.data.files.source import FileSource
from nas.data.folder import imagefolder
from nas.data.huggingface import huggingface
from tests.data.test_shards import CLASSES, COUNTS, png, same

datasets = pytest.importorskip(
    "datasets", reason="data=huggingface is tested with the package datasets, which is not here"
)
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning:(datasets|dill|multiprocess)")]


def saved(rows: list[tuple[bytes | None, int | None]], **more: list[Any]) -> Any:
    """A data set of images and labels, which may have other columns too."""
    stored = [image and {"bytes": image, "path": None} for image, _ in rows]
    columns = {"image": stored, "label": [label for _, label in rows]}
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))}
    kinds |= {name: datasets.Value("string") for name in more}
    return datasets.Dataset.from_dict({**columns, **more}, features=datasets.Features(kinds))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The same images as `folder/` and as `saved/`, of which the training part is in two files."""
    parts = {}
    for part, count in COUNTS.items():
        rows = []
        for label, name in enumerate(CLASSES):
            folder = tmp_path / "folder" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                rows.append((png(label), label))
                (folder / f"{i}.png").write_bytes(rows[-1][0])
        parts["validation" if part == "val" else part] = saved(rows, note=["a longer text"] * len(rows))
    parts["extra"] = parts["train"]
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved", num_shards={"train": 2, "validation": 1, "extra": 1})
    return tmp_path


def test_a_saved_data_set_is_a_folder(images: Path) -> None:
    folder = imagefolder(str(images / "folder"), resolution=16)
    for limit in (100, 0):
        found = huggingface(str(images / "saved"), resolution=16, memory_limit_mb=limit)
        same(found, folder)
        assert isinstance(found.train.source, FileSource) == (limit == 0)
    assert found.notes[:2] == ("the test split is validation", "splits that are not used: extra")
    some = huggingface(str(images / "saved"), resolution=16, classes=["cow", "ant"], train_limit=6)
    assert some.class_names == ("ant", "cow") and len(some.train) == 6


def test_one_data_set_is_divided(images: Path) -> None:
    """As a folder of classes is."""
    folder = imagefolder(str(images / "folder" / "train"), resolution=16, test_fraction=0.3, split_seed=1)
    same(huggingface(str(images / "saved" / "train"), resolution=16, test_fraction=0.3, split_seed=1), folder)


CLASS = {"_type": "ClassLabel", "names": ["a", "b"]}


def _json(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda at: (at / "train/data-00000-of-00002.arrow").write_bytes(b"nothing"), "cannot be read: .*save"),
        (lambda at: (at / "train/data-00000-of-00002.arrow").unlink(), "cannot be read: .*save the data set again"),
        (lambda at: _json(at / "train/state.json", lambda x: x.update(_data_files=[{"filename": "../a.arrow"}])),
         "names the file '../a.arrow', which is not in its folder"),
        (lambda at: _json(at / "train/state.json", lambda x: x.update(_indices_data_files=[{"filename": "i.arrow"}])),
         "holds a selection of another one"),
        (lambda at: _json(at / "dataset_dict.json", lambda x: x.update(splits=["train"])), "none called test or val"),
        (lambda at: (at / "dataset_dict.json").unlink(), "no folder that datasets' save_to_disk wrote"),
        (lambda at: _json(at / "train/dataset_info.json", lambda x: x["features"].pop("label")),
         r"has no columns of kind ClassLabel \(image, note\); cast it"),
        (lambda at: _json(at / "validation/dataset_info.json", lambda x: x["features"].update(bee=CLASS)),
         "has 2 columns of kind ClassLabel: label, bee; give data.label_column="),
    ],
)  # fmt: skip
def test_what_was_not_saved_so_is_refused(images: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(images / "saved")
    with pytest.raises(ValueError, match=message) as refused:
        huggingface(str(images / "saved"), resolution=16)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [((None, 1), "row 4 has no image in it"), ((png(0), None), "row 4 has the label None"), ((png(0), -1), "label -1")],
)
def test_rows_without_image_or_class_are_named(tmp_path: Path, row: Any, message: str) -> None:
    rows = [(png(label), label) for label in (0, 1, 0, 1)]
    saved([*rows, row, *rows]).save_to_disk(tmp_path / "saved")
    with pytest.raises(ValueError, match=message):
        huggingface(str(tmp_path / "saved"), resolution=16)


def test_columns_are_chosen_by_name_where_there_are_several(tmp_path: Path) -> None:
    made = saved([(png(label), label) for label in (0, 1, 0, 1)])
    made = made.add_column("coarse", [0, 0, 1, 1]).cast_column("coarse", datasets.ClassLabel(names=["x", "y"]))
    made.save_to_disk(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"has 2 columns of kind ClassLabel: label, coarse; give data.label_column="):
        huggingface(str(tmp_path / "saved"))
    found = huggingface(str(tmp_path / "saved"), resolution=16, label_column="coarse", test_fraction=0.5)
    assert found.class_names == ("x", "y")


def test_without_pyarrow_it_says_what_to_install(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"pip install 'nas-under-budget\[huggingface\]'"):
        huggingface(str(images / "saved"), resolution=16)
